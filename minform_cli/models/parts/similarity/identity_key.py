"""Identity key: W_K = I, scores_h = x W_Qh x_h^T / sqrt(d), x_h the head's columns.

Numbers: N^2, and a live bias of N on the queries.
Initial scale: as of `identity-query`, weights of variance 1 / N.
Source: Anthe, arXiv 2305.10991 (the keys of KgV attention).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_bias, split_heads
from minform_cli.models.parts.linear import Matrix, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import SIMILARITIES, Projections, Similarity, head_bias, joined


@SIMILARITIES.register("identity-key")
class IdentityKey(Similarity):
    """W_Q -> `w_q`.

    Out of separate projections: those columns of W_Qh W_Kh^T that are the head's.
    """

    exact_where = "one head; with more, rows of W_Kh but the head's own are zero"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_q = linear_map(model, "qkv", model.dim, model.dim, bias=has_bias(model))

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q."""
        return split_heads(self.w_q(x), self.heads)

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """The head's columns of the tokens."""
        return split_heads(y, self.heads)

    def projections(self) -> Projections:
        """W_Q and the identity."""
        queries = read_map(self.w_q)
        return Projections(queries, Matrix(torch.eye(self.dim).to(queries.weight), torch.zeros_like(queries.bias)))

    def _fit(self, given: Projections) -> None:
        own = self.own_blocks(self.by_head(given.keys.weight)).transpose(1, 2)
        weight = self.by_head(given.queries.weight) @ own
        write_map(self.w_q, joined(weight), (head_bias(given, self.heads) @ own).flatten())
