"""Identity query: W_Q = I, scores_h = x_h (x W_Kh)^T / sqrt(d), x_h the head's columns.

Numbers: N^2, and a bias of N on the keys, which is dead (softmax cancels it) unless K = V makes it a value.
Initial scale: scores have the variance N s^2 for weights of variance s^2; s^2 = 1 / N.
Source: W_K, W_V is Probably All You Need, arXiv 2510.23912.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_key_bias, split_heads
from minform_cli.models.parts.linear import Matrix, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import SIMILARITIES, Projections, Similarity, joined


@SIMILARITIES.register("identity-query")
class IdentityQuery(Similarity):
    """W_K -> `w_k`.

    Out of separate projections: those rows of W_Qh W_Kh^T that are the head's, transposed.
    """

    exact_where = "one head and no query bias; with more, rows of W_Qh but the head's own are zero"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_k = linear_map(model, "qkv", model.dim, model.dim, bias=has_key_bias(model))

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """The head's columns of the tokens."""
        return split_heads(x, self.heads)

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """Through W_K."""
        return split_heads(self.w_k(y), self.heads)

    def projections(self) -> Projections:
        """The identity and W_K."""
        keys = read_map(self.w_k)
        return Projections(Matrix(torch.eye(self.dim).to(keys.weight), torch.zeros_like(keys.bias)), keys)

    def _fit(self, given: Projections) -> None:
        weight = self.own_blocks(self.products(given)).transpose(1, 2)
        own = self.own_blocks(self.by_head(given.queries.weight)).transpose(1, 2)
        bias = given.keys.bias.view(self.heads, 1, -1) @ own
        write_map(self.w_k, joined(weight), bias.flatten())
