"""Grouped: scores_h = x W_Qh (x W_Kg)^T / sqrt(d), head h of H asking the keys of its group g of G, H / G heads each.

Numbers: N H d + N G d; H d of a live bias on the queries, G d on the keys, which is dead unless K = V makes it a value.
With G = H it is `separate`, with G = 1 multi-query attention. In generation the keys of a group are kept once.
Initial scale: scores have the variance 1 for weights of variance 1 / N, as of separate projections.
Sources: GQA, arXiv 2305.13245, section 2.2 (which makes W_Kg of trained heads their mean; here it is what their scores
need most); Fast Transformer Decoding, arXiv 1911.02150, section 3.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.axes.groups import groups_of
from minform_cli.config.axes.similarity import Grouped as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import by_columns, has_bias, has_key_bias, split_heads
from minform_cli.models.parts.columns import best_factors
from minform_cli.models.parts.linear import Matrix, absorbed, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import (
    SIMILARITIES,
    Projections,
    Side,
    Similarity,
    head_bias,
    joined,
)


@SIMILARITIES.register("grouped")
class Grouped(Similarity):
    """W_Q -> `w_q`, N x H d; W_K -> `w_k`, N x G d, group g in columns g d to (g + 1) d.

    Out of separate projections: of each group, the d columns of keys with which the products W_Qh W_Kg^T, and the same
    of b_Qh, of all its heads together are nearest to theirs in the mean square.
    """

    exact_where = "the keys of a group's heads are the same, or read the same d directions of a token"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.groups = groups_of(cast(Options, model.similarity).groups, model)
        std, wide = self.dim**-0.5, self.groups * self.head_dim
        self.w_q = linear_map(model, "qkv", self.dim, self.inner, bias=has_bias(model), std=std)
        self.w_k = linear_map(model, "qkv", self.dim, wide, bias=has_key_bias(model), std=std)

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q."""
        return split_heads(self.w_q(x), self.heads)

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b g s e"]:
        """Through W_K, by group."""
        return split_heads(self.w_k(y), self.groups)

    def projections(self) -> Projections:
        """W_Q, and the keys of its group for every head."""
        return Projections(read_map(self.w_q), for_every_head(read_map(self.w_k), self.groups, self.heads))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"], side: Side = "both") -> None:
        """Into either."""
        if side != "keys":
            absorbed(self.w_q, product, shift)
        if side != "queries":
            absorbed(self.w_k, product, shift)

    def _fit(self, given: Projections) -> None:
        shared = one_of_each(given.keys, self.groups, self.heads)
        if shared is not None:  # as they are, for those who read more than scores
            write_map(self.w_q, *given.queries)
            write_map(self.w_k, *shared)
            return
        together = self.heads // self.groups
        asked = torch.cat([self.by_head(given.queries.weight), head_bias(given, self.heads)], dim=1)
        keys = self.by_head(given.keys.weight)
        queries, made = [], []
        for first in range(0, self.heads, together):
            group = slice(first, first + together)
            left, right = best_factors(torch.block_diag(*asked[group]), joined(keys[group]).T, self.head_dim)
            queries += left.chunk(together)
            made.append(right.T)
        weight = torch.cat(queries, dim=1)
        write_map(self.w_q, weight[:-1], weight[-1])
        write_map(self.w_k, torch.cat(made, dim=1))


def for_every_head(shared: Matrix, groups: int, heads: int) -> Matrix:
    """A map to the columns of every group as one to those of every head."""
    together = heads // groups
    bias = shared.bias.view(groups, -1).repeat_interleave(together, dim=0).flatten()
    return Matrix(joined(by_columns(shared.weight, groups).repeat_interleave(together, dim=0)), bias)


def one_of_each(given: Matrix, groups: int, heads: int) -> Matrix | None:
    """A map to the columns of every head as one to those of every group; None where heads of a group differ."""
    first = [head * (heads // groups) for head in range(groups)]
    shared = Matrix(joined(by_columns(given.weight, heads)[first]), given.bias.view(heads, -1)[first].flatten())
    again = for_every_head(shared, groups, heads)
    return shared if torch.equal(again.weight, given.weight) and torch.equal(again.bias, given.bias) else None
