"""Tied projections: W_K := W_Q, scores_h = q_h q_h^T / sqrt(d), symmetric and positive semidefinite.

Numbers: N^2, and a live bias of N. This is what the first source ran as symmetric similarity, and the second one's
symmetric dot-product attention.

Initial scale: scores of different tokens have the variance ||W W^T||_F^2 / d of one head's N x d slice W, which for
normal weights of variance s^2 is s^4 N (N + d + 1); s makes it 1.
Source: arXiv 2410.13732, symmetric similarity; arXiv 2406.06366, symmetric dot-product attention.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_bias, split_heads
from minform_cli.models.parts.linear import linear_map
from minform_cli.models.parts.similarity.base import SIMILARITIES, Similarity


def tied_std(model: ModelConfig) -> float:
    """Standard deviation of W_Q that gives scores of different tokens the variance 1."""
    return (model.dim * (model.dim + model.head_dim + 1)) ** -0.25


@SIMILARITIES.register("tied")
class Tied(Similarity):
    """W_Q = W_K -> `w_q`."""

    one_map = True

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_q = linear_map(model, "qkv", model.dim, model.dim, bias=has_bias(model), std=tied_std(model))

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q."""
        return split_heads(self.w_q(x), self.heads)

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """As the queries."""
        return self.queries(y)
