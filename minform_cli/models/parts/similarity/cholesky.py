"""Cholesky factor: scores_h = (x_h T_h)(x_h T_h)^T / sqrt(d), T_h lower triangular d x d, x_h the head's columns.

T T^T is symmetric and positive semidefinite. One product x_h T_h serves as query and key.
Numbers: H d (d + 1) / 2, no bias under any setting. At H = 1 that is every free number of `tied`.
Initial scale: scores have the variance ||T T^T||_F^2 / d; for normal entries of variance s^2 its mean is
s^4 times the sum below (min(i, j) off the diagonal, i^2 + 2 i on it). Unscaled entries, as a public reproduction
had them, make scores of variance about d^2 / 2 and training diverges with one head.
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


@SIMILARITIES.register("cholesky")
class Cholesky(Similarity):
    """T -> `t`, its free triangle.

    Out of separate projections: T T^T is the positive part of what `mirrored` takes.
    """

    exact_where = "as of mirrored, and positive semidefinite"
    one_map = True

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        d = self.head_dim
        off_diagonal = d * (d + 1) * (d - 1) / 3  # 2 x the sum of i over pairs i < j
        diagonal = d * (d + 1) * (2 * d + 1) / 6 + d * (d + 1)  # sum of i^2 + 2 i
        self.t = Triangle(self.heads, d, std=(d / (off_diagonal + diagonal)) ** 0.25)

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """The head's columns of the tokens, through T."""
        return split_heads(x, self.heads) @ self.t.lower()

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """As the queries."""
        return self.queries(y)

    def projections(self) -> Projections:
        """T of every head, twice."""
        t = torch.block_diag(*self.t.lower().detach().double())
        each = Matrix(t, t.new_zeros(self.dim))
        return Projections(each, each)

    def _fit(self, given: Projections) -> None:
        own = self.own_blocks(self.own_blocks(self.products(given)).transpose(1, 2))
        values, vectors = torch.linalg.eigh((own + own.transpose(1, 2)) / 2)
        root = vectors * values.clamp(min=0).sqrt().unsqueeze(1)
        self.t.fill(torch.linalg.qr(root.transpose(1, 2))[1].transpose(1, 2))  # root root^T = R^T R
