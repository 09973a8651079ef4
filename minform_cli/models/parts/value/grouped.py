"""Grouped: concat_h(A_h x W_Vg) W_O, head h of H mixing the values of its group g of G, H / G heads each.

Numbers: N G d + N H d, biases G d + N (b_V is redundant, not dead). With G = H it is `separate`. In generation the
values of a group are kept once.
Initial scale: weights of the variance 1 / N, as of separate maps.
Sources: GQA, arXiv 2305.13245, section 2.2 (which makes W_Vg of trained heads their mean; here it is what their outputs
need most); Fast Transformer Decoding, arXiv 1911.02150, section 3.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.axes.groups import groups_of
from minform_cli.config.axes.value import Grouped as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import by_columns, by_rows, has_bias, join_heads, split_heads
from minform_cli.models.parts.centred import writer
from minform_cli.models.parts.columns import best_factors
from minform_cli.models.parts.linear import absorbed, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import Similarity, joined
from minform_cli.models.parts.similarity.grouped import for_every_head, one_of_each
from minform_cli.models.parts.value.base import VALUES, Value, ValueMaps


@VALUES.register("grouped")
class Grouped(Value):
    """W_V -> `w_v`, N x G d, group g in columns g d to (g + 1) d; W_O -> `w_o`, H d x N.

    Out of separate maps: of each group, the d columns of values with which the products W_Vg W_Oh of all its heads
    together are nearest to theirs in the mean square; b_V goes into the bias of W_O.
    """

    exact_where = "the values of a group's heads are the same, or read the same d directions of a token"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.groups = groups_of(cast(Options, model.value).groups, model)
        std, wide = self.dim**-0.5, self.groups * model.head_dim
        self.w_v = linear_map(model, "qkv", self.dim, wide, bias=has_bias(model), std=std)
        self.w_o = writer(model, "output", self.inner, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b k s f"]:  # noqa: ARG002
        """Projected values, by group."""
        return split_heads(self.w_v(y), self.groups)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Into W_V."""
        absorbed(self.w_v, product, shift)

    def maps(self, similarity: Similarity | None) -> ValueMaps:  # noqa: ARG002
        """The values of its group for every head, and W_O."""
        return ValueMaps(for_every_head(read_map(self.w_v), self.groups, self.heads), read_map(self.w_o))

    def restore(self, source: Value) -> None:
        """Of as many groups or of others."""
        self._fit(source.maps(None), None)

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:  # noqa: ARG002
        shared = one_of_each(given.values, self.groups, self.heads)
        if shared is not None:
            write_map(self.w_v, *shared)
            write_map(self.w_o, *given.output)
            return
        together = self.heads // self.groups
        values, outputs = by_columns(given.values.weight, self.heads), by_rows(given.output.weight, self.heads)
        made, led = [], []
        for first in range(0, self.heads, together):
            group = slice(first, first + together)
            left, right = best_factors(joined(values[group]), torch.block_diag(*outputs[group]), values.shape[2])
            made.append(left)
            led += right.chunk(together, dim=1)
        write_map(self.w_v, torch.cat(made, dim=1))
        write_map(self.w_o, torch.cat(led), given.values.bias @ given.output.weight + given.output.bias)
