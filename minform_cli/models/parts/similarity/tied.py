"""Tied projections: W_K := W_Q, scores_h = q_h q_h^T / sqrt(d), symmetric and positive semidefinite.

Numbers: N H d, and a live bias of H d. This is what the first source ran as symmetric similarity, and the second one's
symmetric dot-product attention.

Initial scale: scores of different tokens have the variance ||W W^T||_F^2 / d of one head's N x d slice W, which for
normal weights of variance s^2 is s^4 N (N + d + 1); s makes it 1.
Source: arXiv 2410.13732, symmetric similarity; arXiv 2406.06366, symmetric dot-product attention.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_bias, split_heads
from minform_cli.models.parts.linear import absorbed, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import (
    SIMILARITIES,
    Projections,
    Side,
    Similarity,
    head_bias,
    joined,
    one_side,
)


def tied_std(model: ModelConfig) -> float:
    """Standard deviation of W_Q that gives scores of different tokens the variance 1."""
    return (model.dim * (model.dim + model.head_dim + 1)) ** -0.25


@SIMILARITIES.register("tied")
class Tied(Similarity):
    """W_Q = W_K -> `w_q`.

    Out of separate projections: W W^T is the positive part of the symmetric part of W_Qh W_Kh^T, which has at most d
    positive eigenvalues; the bias is the least squares one.
    """

    exact_where = "W_Q = W_K, or W_Qh W_Kh^T is symmetric and positive semidefinite in every head"
    one_map = True

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_q = linear_map(model, "qkv", self.dim, self.inner, bias=has_bias(model), std=tied_std(model))

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q."""
        return split_heads(self.w_q(x), self.heads)

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """As the queries."""
        return self.queries(y)

    def projections(self) -> Projections:
        """The one, twice."""
        return Projections(read_map(self.w_q), read_map(self.w_q))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"], side: Side = "both") -> None:
        """Into the one."""
        one_side(self, side)
        absorbed(self.w_q, product, shift)

    def _fit(self, given: Projections) -> None:
        if torch.equal(given.queries.weight, given.keys.weight):  # as they are, for those who read more than scores
            write_map(self.w_q, *given.queries)
            return
        products = self.products(given)
        values, vectors = torch.linalg.eigh((products + products.transpose(1, 2)) / 2)
        positive = values[:, -self.head_dim :].clamp(min=0)
        weight = vectors[:, :, -self.head_dim :] * positive.sqrt().unsqueeze(1)
        wanted = head_bias(given, self.heads) @ self.by_head(given.keys.weight).transpose(1, 2)  # b W^T, (H, 1, N)
        bias = wanted @ torch.linalg.pinv(weight).transpose(1, 2)
        write_map(self.w_q, joined(weight), bias.flatten())
