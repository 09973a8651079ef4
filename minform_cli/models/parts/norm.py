"""Layer normalisation of a sublayer's input (`pre`) or output (`post`), or none.

Numbers: 2 N each (scale and shift). Source: Layer Normalization, arXiv 1607.06450; where it stands: options classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

from torch import nn

from minform_cli.config.axes.norm import Post, Pre
from minform_cli.config.schema import ModelConfig
from minform_cli.registry import Registry


class Norm(nn.LayerNorm):
    """`torch.nn.LayerNorm`, counted in its own group."""

    parameter_group: ClassVar[str] = "norm"


NORMS: Registry[Callable[[ModelConfig], Norm | None]] = Registry("norm")


@NORMS.register("pre")
@NORMS.register("post")
def layer_norm(model: ModelConfig) -> Norm:
    """One LayerNorm over the model's width."""
    return Norm(model.dim, eps=cast("Pre | Post", model.norm).eps)


@NORMS.register("none")
def no_norm(_: ModelConfig) -> None:
    """Nothing."""
    return
