"""What the parts of a model share: the group their parameters are counted in, linear maps, and initial variances.

Axis letters, here and in every part: B batch, T tokens, N width (`dim`), H heads, d = N / H width of a head,
E width of what is compared or mixed (d, or N for collapsed matrices).
"""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn

from minform_cli.config.axes.base import PartOptions
from minform_cli.config.schema import ModelConfig


class Part(nn.Module):
    """A module whose parameters belong to one group of the count.

    Attributes:
        parameter_group: one of `results.GROUPS`; children without a group of their own inherit it.
    """

    parameter_group: ClassVar[str]


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


def has_bias(model: ModelConfig) -> bool:
    """Whether linear maps with a live bias have one."""
    return model.bias.kind != "none"


def has_key_bias(model: ModelConfig) -> bool:
    """Whether a key projection has a bias: it is dead unless K = V makes it a value, so `live` leaves it out."""
    return model.bias.kind == "all" or (model.bias.kind == "live" and model.value.kind == "key")


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, H E) -> (B, H, T, E): the columns of each head."""
    batch, tokens, width = x.shape
    return x.view(batch, tokens, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, H, T, E) -> (B, T, H E): the heads' columns side by side."""
    batch, heads, tokens, width = x.shape
    return x.transpose(1, 2).reshape(batch, tokens, heads * width)


__all__ = ["Part", "PartOptions", "has_bias", "has_key_bias", "join_heads", "linear", "split_heads"]
