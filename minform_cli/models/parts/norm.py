"""Layer normalisation of a sublayer's input (`pre`) or output (`post`), or none.

Numbers: 2 N each (scale and shift). Source: Layer Normalization, arXiv 1607.06450; where it stands: options classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

from torch import nn

from minform_cli.config.axes.norm import Norm as Options
from minform_cli.config.axes.norm import Post, Pre
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Absent, Convertible
from minform_cli.registry import Registry


class Norm(Convertible, nn.LayerNorm):
    """`torch.nn.LayerNorm` over the model's width, counted in its own group."""

    parameter_group: ClassVar[str] = "norm"
    exact_where = "it stands where the one before stood"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model.dim, eps=cast("Pre | Post", model.norm).eps)


NORMS: Registry[Callable[[ModelConfig], Norm | None]] = Registry("norm")


NORMS.register("pre")(Norm)
NORMS.register("post")(Norm)
NORMS.register("none")(Absent("what it normalised had mean 0 and variance 1, and its scale was 1, its shift 0"))


def new_norm(model: ModelConfig) -> Norm | None:
    """One more norm of the model, if it has any."""
    return NORMS.get(model.norm.kind)(model)


def stands_first(model: ModelConfig) -> bool:
    """Whether a norm is of what a sublayer reads, and the last block's tokens are normalised once more."""
    form = cast(Options, model.norm).form(model)
    return form is not None and form.first


def final_norm(model: ModelConfig) -> Norm | None:
    """That of the last block's tokens, where norms stand first."""
    return new_norm(model) if stands_first(model) else None
