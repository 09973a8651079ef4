"""Pairwise coefficients: scores_h = q_h P_h q_h^T / sqrt(d), P a full d x d matrix per head.

P is unconstrained, so scores need not be symmetric; P = I is `tied`.
Numbers: N H d + H d^2, and a live bias of H d on the projection.
Initial scale: that of `tied`. The authors start P from N(0, 1); we start from the identity plus noise (option
`noise`), since a random P of that size multiplies the scores' deviation by sqrt(d) and forgets what q says.
Source: Symmetric Dot-Product Attention for Efficient Training of BERT Language Models, arXiv 2406.06366.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.similarity import Pairwise as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_bias, split_heads
from minform_cli.models.parts.linear import Matrix, absorbed, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import (
    SIMILARITIES,
    Projections,
    QueryKey,
    Side,
    Similarity,
    head_bias,
    joined,
    one_side,
)
from minform_cli.models.parts.similarity.tied import tied_std


@SIMILARITIES.register("pairwise")
class Pairwise(Similarity):
    """W_Q -> `w_q`, P -> `p` (H, d, d).

    Out of separate projections: W_Qh is an orthonormal basis V of d directions, P = V^T W_Qh W_Kh^T V. The directions
    are those of the largest eigenvalues of M M^T + M^T M, M = W_Qh W_Kh^T; other d may be somewhat nearer.
    """

    exact_where = "W_Q = W_K, or the columns of W_Qh and W_Kh span the same d directions in every head"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        noise = cast(Options, model.similarity).noise
        self.w_q = linear_map(model, "qkv", self.dim, self.inner, bias=has_bias(model), std=tied_std(model))
        self.p = nn.Parameter(torch.empty(self.heads, self.head_dim, self.head_dim))
        nn.init.normal_(self.p, std=noise)
        self.p.data.diagonal(dim1=1, dim2=2).add_(1)

    def forward(self, x: Float[Tensor, "b t n"], y: Float[Tensor, "b s n"]) -> QueryKey:
        """Queries through P, keys without; in self-attention from one projection."""
        keys = self.keys(y)
        return QueryKey((keys if y is x else self.keys(x)) @ self.p, keys)

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q and P."""
        return self.keys(x) @ self.p

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """Through W_Q."""
        return split_heads(self.w_q(y), self.heads)

    def projections(self) -> Projections:
        """W_Q P and W_Q."""
        weight, bias = read_map(self.w_q)
        p = torch.block_diag(*self.p.detach().double())
        return Projections(Matrix(weight @ p, bias @ p), Matrix(weight, bias))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"], side: Side = "both") -> None:
        """Into W_Q."""
        one_side(self, side)
        absorbed(self.w_q, product, shift)

    def _fit(self, given: Projections) -> None:
        if torch.equal(given.queries.weight, given.keys.weight):
            write_map(self.w_q, *given.queries)
            self.p.copy_(torch.eye(self.head_dim).expand_as(self.p))
            return
        products = self.products(given)
        turned = products.transpose(1, 2)
        basis = torch.linalg.eigh(products @ turned + turned @ products)[1][:, :, -self.head_dim :]
        p = basis.transpose(1, 2) @ products @ basis
        wanted = head_bias(given, self.heads) @ self.by_head(given.keys.weight).transpose(1, 2) @ basis  # b P
        write_map(self.w_q, joined(basis), (wanted @ torch.linalg.pinv(p)).flatten())
        self.p.copy_(p)
