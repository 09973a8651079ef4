"""Collapsed W_QK: scores_h = (x W_QKh + b_h) x^T / sqrt(d), W_QKh = W_Qh W_Kh^T an N x N matrix on the full x.

Numbers: H N^2 instead of 2 N^2, so it saves at H = 1 only; at H = 1 it loses nothing, since separate N x N matrices
have N^2 free numbers in their product. Of two biases one live vector stays per head: of
(x W_Q + b_Q)(x W_K + b_K)^T only b_Q W_K^T x^T differs between the keys of one query.
Initial scale: scores have the variance N^2 s^2 / d for weights of variance s^2; s^2 = d / N^2.
Source: arXiv 2410.13732, collapsed W_QK.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import has_bias, split_heads
from minform_cli.models.parts.linear import Matrix, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import SIMILARITIES, Projections, Side, Similarity, head_bias, joined


@SIMILARITIES.register("collapsed")
class Collapsed(Similarity):
    """W_QKh -> rows h N to (h + 1) N of `w_qk.weight`, transposed; b_h likewise."""

    exact_where = "everywhere: W_QKh is the product, b_h is b_Qh W_Kh^T"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        std = math.sqrt(self.head_dim) / model.dim
        self.w_qk = linear_map(model, "qkv", model.dim, self.heads * model.dim, bias=has_bias(model), std=std)

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_QK."""
        return split_heads(self.w_qk(x), self.heads)

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """The tokens themselves, for every head."""
        return y.unsqueeze(1).expand(-1, self.heads, -1, -1)

    def projections(self) -> Projections:
        """W_QK and the identity, with one head."""
        if self.heads > 1:
            raise InputError(f"a collapsed W_QK of each of {self.heads} heads is more than its columns can make")
        queries = read_map(self.w_qk)
        one = torch.eye(self.dim).to(queries.weight)
        return Projections(queries, Matrix(one, torch.zeros_like(queries.bias)))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"], side: Side = "both") -> None:
        """From either side; what `shift` makes of the keys is the same for all of a query."""
        weight, bias = read_map(self.w_qk)
        by_head, biases = self.by_head(weight), bias.view(self.heads, 1, -1)
        if side != "keys":
            by_head, biases = product @ by_head, biases + shift.unsqueeze(0) @ by_head
        if side != "queries":
            by_head, biases = by_head @ product.T, biases @ product.T
        write_map(self.w_qk, joined(by_head), biases.flatten())

    def _fit(self, given: Projections) -> None:
        keys = self.by_head(given.keys.weight).transpose(1, 2)
        write_map(self.w_qk, joined(self.products(given)), (head_bias(given, self.heads) @ keys).flatten())
