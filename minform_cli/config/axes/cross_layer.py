"""Keys or values that several blocks use: the part `cross-layer` of the axes `similarity` and `value`.

Blocks 0, c, 2 c, ... (as `model.order` numbers them) make them and lend them; the others use what was lent last before
they run, and have no map to make their own. In a decoder attention across lends to attention across.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from minform_cli.config.axes.base import NumberOrShare, PartOptions
from minform_cli.config.axes.bias import dead_bias, live_bias
from minform_cli.config.axes.groups import groups_of, illegal_groups
from minform_cli.config.axes.norm import writer
from minform_cli.config.axes.similarity import SIMILARITY, Similarity
from minform_cli.config.axes.value import VALUE, Value
from minform_cli.config.form import Map, SimilarityForm, ValueForm

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class CrossLayer(PartOptions, frozen=True):
    """Base of both parts, and of what blocks make of them.

    Attributes:
        every: c; None: block 0 alone makes them.
        groups: heads that are lent, as of `grouped`; None: one for each that asks.

    Class attributes:
        axis: that it stands on.
        borrows: whether it is the part of a block that makes none.
    """

    every: int | None = Field(default=2, ge=1)
    groups: NumberOrShare = None
    by_block: ClassVar[bool] = True
    any_width: ClassVar[bool] = True
    axis: ClassVar[str]
    borrows: ClassVar[bool] = False

    def lends(self, block: int) -> bool:
        """Whether block number `block` makes its own."""
        return block % self.every == 0 if self.every else block == 0

    def lent_heads(self, model: ModelConfig) -> int:
        """How many heads those have that make them."""
        return model.heads if self.groups is None else groups_of(self.groups, model)

    def of_block(self, block: int) -> CrossLayer:
        """Itself where the block makes its own, else the part of one that borrows."""
        if self.borrows or self.lends(block):
            return self
        return _BORROWERS[self.axis](**{name: getattr(self, name) for name in type(self).model_fields})

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        return None if self.groups is None else illegal_groups(self.axis, self.kind, self.groups, model)


@SIMILARITY.part
class CrossLayerKeys(CrossLayer, Similarity, frozen=True):
    """Own queries everywhere, keys in every c-th block."""

    kind: Literal["cross-layer"] = "cross-layer"
    meaning = "keys of every c-th block for the blocks after it too (c = 2)"
    source = "Reducing Transformer Key-Value Cache Size with Cross-Layer Attention, arXiv 2405.12981, section 3"
    axis = "similarity"
    absorbs = "each"
    no_gauge = "several blocks ask the same keys"

    def form(self, model: ModelConfig) -> SimilarityForm:
        """N H d for the queries, and N g d for the keys where it makes them."""
        n, inner, wide = model.dim, model.inner_dim, self.lent_heads(model) * model.head_dim
        w_q = Map(name="w_q", dim_in=n, dim_out=inner, bias=live_bias(model, inner), role="qkv", over="queries")
        if self.borrows:
            return SimilarityForm(module="CrossLayer", holds=(w_q,), compared=model.head_dim, keeps={})
        bias = dead_bias(model, wide)
        w_k = Map(name="w_k", dim_in=n, dim_out=wide, bias=bias, role="qkv", over="keys")
        return SimilarityForm(
            module="CrossLayer",
            holds=(w_q, w_k),
            dead={"w_k.bias": bias} if bias else {},
            compared=model.head_dim,
            keeps={"keys": wide},
        )


class BorrowedKeys(CrossLayerKeys, frozen=True):
    """In a block that has no keys of its own."""

    borrows = True


@VALUE.part
class CrossLayerValues(CrossLayer, Value, frozen=True):
    """W_O everywhere, values in every c-th block."""

    kind: Literal["cross-layer"] = "cross-layer"
    meaning = "values of every c-th block for the blocks after it too (c = 2); W_O kept"
    source = (
        "Cross-Layer Attention, arXiv 2405.12981, section 3; of the first block alone: Value Residual Learning, arXiv "
        "2410.17897, SVFormer"
    )
    axis = "value"
    no_value_bias = "several blocks mix the same values"
    no_gauge = "several blocks mix the same values"

    def form(self, model: ModelConfig) -> ValueForm:
        """H d N for W_O, and N g d for the values where it makes them."""
        n, wide = model.dim, self.lent_heads(model) * model.head_dim
        w_o = writer(model, "w_o", model.inner_dim, "output", "queries")
        if self.borrows:
            return ValueForm(module="CrossLayer", holds=(w_o,), mixed=model.head_dim, keeps={})
        w_v = Map(name="w_v", dim_in=n, dim_out=wide, bias=live_bias(model, wide), role="qkv", over="keys")
        return ValueForm(module="CrossLayer", holds=(w_v, w_o), mixed=model.head_dim, keeps={"values": wide})


class BorrowedValues(CrossLayerValues, frozen=True):
    """In a block that has no values of its own."""

    borrows = True


_BORROWERS: dict[str, type[CrossLayer]] = {part.axis: part for part in (BorrowedKeys, BorrowedValues)}
