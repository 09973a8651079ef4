"""Values across layers: concat_h(A_h v_g) W_O, the values v those that this block makes or another has lent.

Numbers: N H d of W_O in every block, N G d of W_V in those that make values, for G heads of values; biases N, and G d.
Initial scale: weights of the variance 1 / N, as of separate maps.
Sources: Reducing Transformer Key-Value Cache Size with Cross-Layer Attention, arXiv 2405.12981, section 3; values of
the first block alone: Value Residual Learning, arXiv 2410.17897 (SVFormer).
"""

from __future__ import annotations

from typing import NoReturn, cast

from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.cross_layer import CrossLayerValues
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import has_bias, join_heads, split_heads
from minform_cli.models.parts.centred import writer
from minform_cli.models.parts.linear import absorbed, linear_map, took_maps
from minform_cli.models.parts.similarity.base import Similarity
from minform_cli.models.parts.value.base import VALUES, Value


@VALUES.register("cross-layer")
class CrossLayer(Value):
    """W_O -> `w_o`, H d x N; where it makes values W_V -> `w_v`, N x G d, group g in columns g d to (g + 1) d."""

    no_source = "its values are those of several blocks"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        options = cast(CrossLayerValues, model.value)
        self.groups = options.lent_heads(model)
        self.borrows, self.lends = options.borrows, not options.borrows
        self.w_v: nn.Module | None = None
        if self.lends:
            std, wide = self.dim**-0.5, self.groups * model.head_dim
            self.w_v = linear_map(model, "qkv", self.dim, wide, bias=has_bias(model), std=std)
        self.w_o = writer(model, "output", self.inner, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b k s f"]:  # noqa: ARG002
        """Projected values, by group."""
        assert self.w_v is not None, "its values are another block's"
        return split_heads(self.w_v(y), self.groups)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Into W_V; values of another block are of its tokens."""
        if self.w_v is not None:
            absorbed(self.w_v, product, shift)

    def maps(self, similarity: Similarity | None) -> NoReturn:  # noqa: ARG002
        """None."""
        raise InputError(f"{type(self).__name__} is no separate maps: {self.no_source}")

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        if not took_maps(self, source):
            self.refuse(source)
