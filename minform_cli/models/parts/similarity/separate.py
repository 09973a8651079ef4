"""Separate projections: scores_h = x W_Qh (x W_Kh)^T / sqrt(d).

Numbers: 2 N H d, and H d per bias (W_Q's is live; W_K's is dead and exists only under ``bias: all`` or K = V).
Started symmetric, W_K = W_Q, of the variance that `tied` has, for scores of the variance 1.
Sources: Attention Is All You Need, arXiv 1706.03762, section 3.2; symmetric start: Saponati et al., arXiv 2502.10927.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.axes.similarity import Separate as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_bias, has_key_bias, split_heads
from minform_cli.models.parts.linear import absorbed, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import SIMILARITIES, Projections, Side, Similarity
from minform_cli.models.parts.similarity.tied import tied_std


@SIMILARITIES.register("separate")
class Separate(Similarity):
    """W_Q -> `w_q`, W_K -> `w_k`, both N x H d, head h in columns h d to (h + 1) d."""

    exact_where = "everywhere, as dense maps or chains of full rank"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        symmetric = cast(Options, model.similarity).start == "symmetric"
        std = tied_std(model) if symmetric else math.sqrt(1 / self.dim)
        self.w_q = linear_map(model, "qkv", self.dim, self.inner, bias=has_bias(model), std=std)
        self.w_k = linear_map(model, "qkv", self.dim, self.inner, bias=has_key_bias(model), std=std)
        if symmetric:
            given = dict(self.w_q.named_parameters())
            with torch.no_grad():
                for name, parameter in self.w_k.named_parameters():
                    if name != "bias":  # of which both have zeros, or W_K none
                        parameter.copy_(given[name])

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q."""
        return split_heads(self.w_q(x), self.heads)

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """Through W_K."""
        return split_heads(self.w_k(y), self.heads)

    def projections(self) -> Projections:
        """Its own."""
        return Projections(read_map(self.w_q), read_map(self.w_k))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"], side: Side = "both") -> None:
        """Into either."""
        if side != "keys":
            absorbed(self.w_q, product, shift)
        if side != "queries":
            absorbed(self.w_k, product, shift)

    def _fit(self, given: Projections) -> None:
        write_map(self.w_q, *given.queries)
        write_map(self.w_k, *given.keys)
