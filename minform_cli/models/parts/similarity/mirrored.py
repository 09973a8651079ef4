"""Mirrored weights: scores_h = x_h M_h x_h^T / sqrt(d), M_h symmetric d x d by w_ij = w_ji, x_h the head's columns.

M may be indefinite, so unlike `tied` two equal tokens need not attract each other.
Numbers: H d (d + 1) / 2, no bias under any setting.
Initial scale: scores have the variance ||M||_F^2 / d = d s^2 for entries of variance s^2; s^2 = 1 / d.
Source: arXiv 2410.13732, symmetric similarity.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import split_heads
from minform_cli.models.parts.linear import Matrix
from minform_cli.models.parts.similarity.base import SIMILARITIES, Projections, Similarity
from minform_cli.models.parts.similarity.triangle import Triangle


@SIMILARITIES.register("mirrored")
class Mirrored(Similarity):
    """M -> `m`, its free triangle.

    Out of separate projections: the symmetric part of those rows and columns of W_Qh W_Kh^T that are the head's.
    """

    exact_where = "W_Qh W_Kh^T is symmetric and zero but for the head's own rows and columns; with one head, symmetric"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.m = Triangle(self.heads, self.head_dim, std=self.head_dim**-0.5)

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """The head's columns of the tokens, through M."""
        return split_heads(x, self.heads) @ self.m.mirrored()

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """The head's columns of the tokens."""
        return split_heads(y, self.heads)

    def projections(self) -> Projections:
        """M of every head, and the identity."""
        m = torch.block_diag(*self.m.mirrored().detach().double())
        nothing = m.new_zeros(self.dim)
        return Projections(Matrix(m, nothing), Matrix(torch.eye(self.dim).to(m), nothing))

    def _fit(self, given: Projections) -> None:
        own = self.own_blocks(self.own_blocks(self.products(given)).transpose(1, 2))
        self.m.fill((own + own.transpose(1, 2)) / 2)
