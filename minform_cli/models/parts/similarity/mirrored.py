"""Mirrored weights: scores_h = x_h M_h x_h^T / sqrt(d), M_h symmetric d x d by w_ij = w_ji, x_h the head's columns.

M may be indefinite, so unlike `tied` two equal tokens need not attract each other.
Numbers: H d (d + 1) / 2, no bias under any setting.
Initial scale: scores have the variance ||M||_F^2 / d = d s^2 for entries of variance s^2; s^2 = 1 / d.
Source: arXiv 2410.13732, symmetric similarity.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import split_heads
from minform_cli.models.parts.similarity.base import SIMILARITIES, Similarity
from minform_cli.models.parts.similarity.triangle import Triangle


@SIMILARITIES.register("mirrored")
class Mirrored(Similarity):
    """M -> `m`, its free triangle."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.m = Triangle(self.heads, self.head_dim, std=self.head_dim**-0.5)

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """The head's columns of the tokens, through M."""
        return split_heads(x, self.heads) @ self.m.mirrored()

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """The head's columns of the tokens."""
        return split_heads(y, self.heads)
