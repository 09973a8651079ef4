"""Own maps: concat_h(A_h x W_Vh) W_O. Source: Attention Is All You Need, arXiv 1706.03762, section 3.2."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_bias, join_heads, split_heads
from minform_cli.models.parts.centred import writer
from minform_cli.models.parts.linear import absorbed, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import Similarity
from minform_cli.models.parts.value.base import VALUES, Value, ValueMaps


@VALUES.register("separate")
class Separate(Value):
    """concat_h(A_h x W_Vh) W_O. W_V -> `w_v`, N x H d, W_O -> `w_o`, H d x N.

    Numbers: 2 N H d, biases H d + N (b_V is redundant, not dead).
    """

    exact_where = "everywhere, as dense maps or chains of full rank"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_v = linear_map(model, "qkv", self.dim, self.inner, bias=has_bias(model), std=math.sqrt(1 / self.dim))
        self.w_o = writer(model, "output", self.inner, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Projected values."""
        return split_heads(self.w_v(y), self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Into W_V."""
        absorbed(self.w_v, product, shift)

    def maps(self, similarity: Similarity | None) -> ValueMaps:  # noqa: ARG002
        """Its own."""
        return ValueMaps(read_map(self.w_v), read_map(self.w_o))

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:  # noqa: ARG002
        write_map(self.w_v, *given.values)
        write_map(self.w_o, *given.output)
