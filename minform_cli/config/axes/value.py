"""Axis `value`: what attention mixes, and the map back to the model's width."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from minform_cli.config.axes.base import PartOptions, Requires, new_axis
from minform_cli.config.axes.similarity import MINIMUM

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig

VALUE = new_axis("value", "what attention mixes, and how it is mapped back")


@VALUE.part
class Separate(PartOptions, frozen=True):
    """Own W_V and W_O, the standard Transformer."""

    kind: Literal["separate"] = "separate"
    meaning = "own W_V and W_O (standard attention)"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.2"


@VALUE.part
class Collapsed(PartOptions, frozen=True):
    """The product W_V W_O of every head as one N x N matrix, per encoder."""

    kind: Literal["collapsed"] = "collapsed"
    meaning = "W_V W_O of each head collapsed into one N x N matrix W_VO"
    source = f"{MINIMUM}, collapsed W_VO"


@VALUE.part
class StackCollapsed(PartOptions, frozen=True):
    """The W_VO of all encoders multiplied into one matrix at the end of the stack."""

    kind: Literal["stack-collapsed"] = "stack-collapsed"
    meaning = "one W_VO for the whole stack; each W_QK absorbs the earlier ones"
    source = f"{MINIMUM}, collapsing W_VO over the encoders"
    requires: ClassVar[Requires] = {
        "mlp": ("none",),
        "residual": ("off",),
        "norm": ("none",),
        "order": ("sequential",),
    }
    why = "the products of W_VO merge only where nothing stands between two attentions, and blocks differ"

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        if model.decoder_depth:
            return "value 'stack-collapsed' needs model.decoder_depth 0: a decoder mixes two sequences"
        if model.heads == 1:
            return None
        return f"value 'stack-collapsed' needs model.heads 1, not {model.heads}: heads mix before the next attention"


@VALUE.part
class Omitted(PartOptions, frozen=True):
    """No W_V and no W_O: every head returns convex combinations of its columns of x."""

    kind: Literal["omitted"] = "omitted"
    meaning = "no W_V, no W_O: convex combinations of the tokens themselves"
    source = f"{MINIMUM}, omitting W_V and W_O"


@VALUE.part
class KeyGatedValue(PartOptions, frozen=True):
    """V' = C (v * sigmoid(A k)): the tokens gate themselves before they are projected; W_O is kept."""

    kind: Literal["kgv"] = "kgv"
    meaning = "V = C (x * sigmoid(A x)): a gate before W_V; W_O kept"
    source = "Anthe, arXiv 2305.10991, KgV attention"


@VALUE.part
class Key(PartOptions, frozen=True):
    """V = K: the key projection is the value too; W_O is kept."""

    kind: Literal["key"] = "key"
    meaning = "V = K: no W_V, the keys are the values; W_O kept"
    source = "Do Transformers Need Three Projections? (ICML 2026), K = V"
    requires: ClassVar[Requires] = {"similarity": ("separate", "tied", "pairwise", "identity-query")}
    why = "V = K needs a key projection"
