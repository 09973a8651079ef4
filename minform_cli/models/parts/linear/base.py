"""How a linear map is stored: what every way has in common, and reading and writing a map however it is stored.

Every linear map of attention and MLP is made by `linear_map`; what else is linear (patches, pooler, heads) stays dense.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.linear import Linear
from minform_cli.config.form import Role, Stored
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Absent, linear
from minform_cli.registry import Registry


class StoredMap(nn.Module):
    """Base of the maps x W + b that are not one matrix; b -> `bias`.

    Attributes:
        moment: sum of x^T x over what the map will read, (n, n): W is then as near as the outputs on it are; None: as
            the numbers of W are. It is not kept with the weights.
    """

    bias: nn.Parameter | None
    moment: Tensor | None = None

    def matrix(self) -> Float[Tensor, "n m"]:
        """W."""
        raise NotImplementedError

    def from_matrix(self, weight: Float[Tensor, "n m"]) -> None:
        """Makes W as near to `weight` as it can; by `moment`, where the part's file says so."""
        raise NotImplementedError

    def whole_bias(self) -> Tensor | None:
        """b; None where there is none."""
        return self.bias

    def set_bias(self, bias: Float[Tensor, " m"]) -> None:
        """Makes b as near to `bias` as it can; it is lost where there is none."""
        if self.bias is not None:
            self.bias.copy_(bias)

    def plan_for(self, tokens: int) -> None:
        """Chooses how it is best computed for so many tokens at once; no number of it changes."""


class BuildsStored(Protocol):
    """Builds the module of a map."""

    def __call__(self, stored: Stored, *, bias: bool, std: float) -> StoredMap:
        """One that is stored as its Form says; `std` is that of the numbers of W."""
        ...


LINEARS: Registry[BuildsStored | Absent] = Registry("linear")
LINEARS.register("dense")(Absent("everywhere: no map is stored otherwise than as its matrix"))


def linear_map(
    model: ModelConfig, role: Role | None, dim_in: int, dim_out: int, *, bias: bool, std: float | None = None
) -> nn.Module:
    """The map x W + b of the given role, as the model's axis `linear` stores it; arguments as of `base.linear`.

    One without a role stays dense.
    """
    stored = None if role is None else cast(Linear, model.linear).form(role, dim_in, dim_out, model.runs)
    if stored is None:
        return linear(dim_in, dim_out, bias=bias, std=std)
    build = LINEARS.get(model.linear.kind)
    assert not isinstance(build, Absent), "what is stored has a module"
    return build(stored, bias=bias, std=std if std is not None else math.sqrt(2 / (dim_in + dim_out)))


class Matrix(NamedTuple):
    """A map x W + b as float64 numbers: W (I, O), and b (O,), zeros where there is none."""

    weight: Float[Tensor, "n m"]
    bias: Float[Tensor, " m"]


def read_map(module: nn.Module) -> Matrix:
    """What a map does, however it is stored."""
    stored = isinstance(module, StoredMap)
    weight = (module.matrix() if stored else cast(nn.Linear, module).weight.T).detach().double()
    bias = module.whole_bias() if stored else cast("Tensor | None", module.bias)
    return Matrix(weight, weight.new_zeros(weight.shape[1]) if bias is None else bias.detach().double())


def write_map(module: nn.Module, weight: Float[Tensor, "n m"], bias: Float[Tensor, " m"] | None = None) -> None:
    """Makes a map x W + b: exactly a dense one, as near as their rank allows others; b is lost where it has none."""
    wanted = weight.new_zeros(weight.shape[1]) if bias is None else bias
    with torch.no_grad():
        if isinstance(module, StoredMap):
            module.from_matrix(weight)
            module.set_bias(wanted)
            return
        cast(nn.Linear, module).weight.copy_(weight.T)
        own = cast("Tensor | None", module.bias)
        if own is not None:
            own.copy_(wanted)


def took_maps(part: nn.Module, source: nn.Module) -> bool:
    """Makes the maps of `part` those of `source`, if it is of one kind and width, however both store them; whether."""
    if type(source) is not type(part):
        return False
    given, wanted = ({name: read_map(each) for name, each in module.named_children()} for module in (source, part))
    if {name: each.weight.shape for name, each in given.items()} != {
        name: each.weight.shape for name, each in wanted.items()
    }:
        return False
    for name, each in given.items():
        write_map(part.get_submodule(name), *each)
    return True


def absorbed(module: nn.Module, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
    """Makes a map of x do what it did of x `product` + `shift`."""
    weight, bias = read_map(module)
    write_map(module, product @ weight, bias + shift @ weight)


def plan_chains(module: nn.Module, tokens: int) -> None:
    """Fixes how every map in `module` that is not one matrix is computed, for a batch of so many tokens."""
    for part in module.modules():
        if isinstance(part, StoredMap):
            part.plan_for(tokens)
