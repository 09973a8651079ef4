"""One matrix in the place of two: sum_h A_h x W_VOh + b. Source: arXiv 2410.13732, collapsed W_VO."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.norm import written
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import by_columns, has_bias, split_heads
from minform_cli.models.parts.centred import columns_for, writer
from minform_cli.models.parts.linear import Matrix, read_map, write_map
from minform_cli.models.parts.similarity.base import Similarity
from minform_cli.models.parts.value.base import VALUES, Value, ValueMaps


@VALUES.register("collapsed")
class Collapsed(Value):
    """sum_h A_h x W_VOh + b. W_VOh -> rows h N to (h + 1) N of `w_vo.weight`, transposed; b -> `b_vo`.

    Numbers: H N^2 instead of 2 N^2, so it saves at H = 1 only; one bias of N, into which b_V and b_O merge.
    Initial scale: the variance of W_Vh W_Oh, d / N^2.
    """

    exact_where = "everywhere: rows of A_h add up to 1, so that b is b_V W_O + b_O"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        std = math.sqrt(model.head_dim) / model.dim
        self.w_vo = writer(model, "output", model.dim, bias=False, times=self.heads, std=std)
        self.b_vo = nn.Parameter(torch.zeros(written(model))) if has_bias(model) else None

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Full-width values of every head."""
        return split_heads(self.w_vo(y), self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The sum of the heads."""
        merged = mixed.squeeze(1) if self.heads == 1 else mixed.sum(dim=1)
        return merged if self.b_vo is None else merged + self._bias(self.b_vo)

    def maps(self, similarity: Similarity | None) -> ValueMaps:
        """W_VO and the identity, with one head."""
        if self.heads > 1:
            return super().maps(similarity)
        weight = read_map(self.w_vo).weight
        bias = torch.zeros_like(weight[0]) if self.b_vo is None else self._bias(self.b_vo.detach().double())
        return ValueMaps(Matrix(weight, torch.zeros_like(bias)), Matrix(torch.eye(self.dim).to(weight), bias))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Into W_VO of every head and b."""
        by_head = by_columns(read_map(self.w_vo).weight, self.heads)
        with torch.no_grad():
            if self.b_vo is not None:
                bias = self._bias(self.b_vo.double()) + shift @ by_head.sum(0)
                self.b_vo.copy_(columns_for(bias, len(self.b_vo)))
        write_map(self.w_vo, (product @ by_head).transpose(0, 1).flatten(1))

    def restore(self, source: Value) -> None:
        """Its bias too."""
        super().restore(source)
        theirs = dict(source.named_parameters()).get("b_vo")
        if self.b_vo is not None and theirs is not None:
            self.b_vo.copy_(columns_for(theirs, len(self.b_vo)))

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:  # noqa: ARG002
        write_map(self.w_vo, self.products(given).transpose(0, 1).flatten(1))
        if self.b_vo is not None:
            bias = given.values.bias @ given.output.weight + given.output.bias
            self.b_vo.copy_(columns_for(bias, len(self.b_vo)))

    def _bias(self, stored: Tensor) -> Tensor:
        """b, its implied last number too."""
        return columns_for(stored, self.dim)
