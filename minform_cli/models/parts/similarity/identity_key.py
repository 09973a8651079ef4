"""Identity key: W_K = I, scores_h = x W_Qh x_h^T / sqrt(d), x_h the head's columns.

Numbers: N^2, and a live bias of N on the queries.
Initial scale: as of `identity-query`, weights of variance 1 / N.
Source: Anthe, arXiv 2305.10991 (the keys of KgV attention).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_bias, split_heads
from minform_cli.models.parts.linear import linear_map
from minform_cli.models.parts.similarity.base import SIMILARITIES, Similarity


@SIMILARITIES.register("identity-key")
class IdentityKey(Similarity):
    """W_Q -> `w_q`."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_q = linear_map(model, "qkv", model.dim, model.dim, bias=has_bias(model))

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q."""
        return split_heads(self.w_q(x), self.heads)

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """The head's columns of the tokens."""
        return split_heads(y, self.heads)
