"""Separate projections: scores_h = x W_Qh (x W_Kh)^T / sqrt(d).

Numbers: 2 N^2, and N per bias (W_Q's is live; W_K's is dead and exists only under ``bias: all`` or K = V).
Source: Attention Is All You Need, arXiv 1706.03762, section 3.2.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_bias, has_key_bias, linear, split_heads
from minform_cli.models.parts.similarity.base import SIMILARITIES, QueryKey, Similarity


@SIMILARITIES.register("separate")
class Separate(Similarity):
    """W_Q -> `w_q`, W_K -> `w_k`, both N x N, head h in columns h d to (h + 1) d."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_q = linear(model.dim, model.dim, bias=has_bias(model))
        self.w_k = linear(model.dim, model.dim, bias=has_key_bias(model))

    def forward(self, x: Float[Tensor, "b t n"], y: Float[Tensor, "b s n"]) -> QueryKey:
        """Projected queries and keys."""
        return QueryKey(split_heads(self.w_q(x), self.heads), split_heads(self.w_k(y), self.heads))
