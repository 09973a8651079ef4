"""What the parts of a model share: the group of their parameters, weights out of other parts', linear maps, variances.

Axis letters, here and in every part: B batch, T tokens, N width (`dim`), H heads, d width of a head (N / H, or
`head_width`), E width of what is compared or mixed (d, or N for collapsed matrices).
"""

from __future__ import annotations

import math
from typing import ClassVar, NoReturn, cast

import torch
from torch import Tensor, nn

from minform_cli.config.axes.base import PartOptions
from minform_cli.config.axes.bias import has_bias, has_dead_bias
from minform_cli.config.axes.value import Value
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError


class Convertible:
    """What can take its weights out of those of the part that it replaces, the standard one of its axis.

    Attributes:
        exact_where: where the outputs stay what they were, to rounding.
        no_source: why no weights of the standard part are of use; empty where they are.
    """

    exact_where: ClassVar[str] = ""
    no_source: ClassVar[str] = ""

    def from_separate(self, source: nn.Module, beside: nn.Module | None = None) -> None:
        """Takes over what `source` does, exactly where `exact_where` says so, else as near as the part's file says.

        Args:
            source: the standard part, or one as this is.
            beside: for a value path its similarity, which is filled before; for a similarity the source's value path.

        Raises:
            InputError: nothing of `source` is of use here.
        """
        with torch.no_grad():
            if not copied(source, cast(nn.Module, self)):
                self._take(source, beside)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        self.refuse(source)

    def refuse(self, source: nn.Module) -> NoReturn:
        """Raises `InputError`: nothing of `source` is of use here."""
        why = self.no_source or "it is of another kind or size"
        raise InputError(f"{type(self).__name__} has no weights from {type(source).__name__}: {why}")


class Absent:
    """Builds nothing: a part without a module.

    Args:
        exact_where: as of `Convertible`.
    """

    no_source = ""

    def __init__(self, exact_where: str) -> None:
        self.exact_where = exact_where

    def __call__(self, *_: object) -> None:
        """No module."""


class Part(Convertible, nn.Module):
    """A module whose parameters belong to one group of the count.

    Attributes:
        parameter_group: one of `results.GROUPS`; children without a group of their own inherit it.
    """

    parameter_group: ClassVar[str]


class PerRun(nn.Module):
    """What has numbers of its own for every run of its block.

    Attributes:
        run: k, from 0; the stack sets it before the block runs.
    """

    run = 0


class OnGrid(nn.Module):
    """What takes the tokens for the places of an image's grid, row by row.

    Attributes:
        grid: rows and columns; the model says them once it knows its images.
    """

    grid: tuple[int, int]


def choose_run(module: nn.Module, run: int) -> None:
    """Before a block that runs at several depths runs for that time, from 0."""
    for part in module.modules():
        if isinstance(part, PerRun):
            part.run = run


def copied(source: nn.Module, target: nn.Module) -> bool:
    """Copies the weights, saved buffers included, if both are of one kind and size; whether they are."""
    given, wanted = source.state_dict(), target.state_dict()
    if type(source) is not type(target) or {k: p.shape for k, p in given.items()} != {
        k: p.shape for k, p in wanted.items()
    }:
        return False
    for name, tensor in wanted.items():
        tensor.copy_(given[name])
    return True


def linear(dim_in: int, dim_out: int, *, bias: bool, std: float | None = None) -> nn.Linear:
    """A dense map x W + b with zero bias and normal weights.

    Args:
        dim_in, dim_out: widths.
        bias: whether b exists.
        std: standard deviation of the weights; None keeps the variance of unit inputs on average forward and
            backward, 2 / (in + out) (Glorot and Bengio 2010, equation 12).
    """
    module = nn.Linear(dim_in, dim_out, bias=bias)
    nn.init.normal_(module.weight, std=std if std is not None else math.sqrt(2 / (dim_in + dim_out)))
    if bias:
        nn.init.zeros_(module.bias)
    return module


def drawn(convolution: nn.Conv2d, std: float) -> nn.Conv2d:
    """The convolution with normal weights of standard deviation `std`, and zero bias if it has one."""
    nn.init.normal_(convolution.weight, std=std)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def has_key_bias(model: ModelConfig) -> bool:
    """Whether a key projection has a bias: it is dead unless K = V makes it a value, so `live` leaves it out."""
    return has_bias(model) if cast(Value, model.value).mixes_keys else has_dead_bias(model)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, H E) -> (B, H, T, E): the columns of each head."""
    batch, tokens, width = x.shape
    return x.view(batch, tokens, heads, width // heads).transpose(1, 2)


def for_heads(x: Tensor, heads: int) -> Tensor:
    """(B, g, S, E) -> (B, H, S, E): what each head has of its group, H / g heads one after another being one."""
    groups = x.shape[1]
    return x if groups == heads else x.unsqueeze(2).expand(-1, -1, heads // groups, -1, -1).flatten(1, 2)


def by_columns(weight: Tensor, heads: int) -> Tensor:
    """(M, H E) -> (H, M, E): the columns of each head of a map to all of them."""
    return weight.unflatten(1, (heads, -1)).transpose(0, 1)


def by_rows(weight: Tensor, heads: int) -> Tensor:
    """(H E, M) -> (H, E, M): the rows of each head of a map from all of them."""
    return weight.unflatten(0, (heads, -1))


def join_heads(x: Tensor) -> Tensor:
    """(B, H, T, E) -> (B, T, H E): the heads' columns side by side."""
    batch, heads, tokens, width = x.shape
    return x.transpose(1, 2).reshape(batch, tokens, heads * width)


__all__ = [
    "Absent",
    "Convertible",
    "Part",
    "PartOptions",
    "by_columns",
    "by_rows",
    "copied",
    "drawn",
    "for_heads",
    "has_bias",
    "has_dead_bias",
    "has_key_bias",
    "join_heads",
    "linear",
    "split_heads",
]
