"""Axis `mask`: which tokens a token may attend to."""

from __future__ import annotations

from typing import ClassVar, Literal

from minform_cli.config.axes.base import PartOptions, Requires, new_axis

MASK = new_axis("mask", "which tokens a token may attend to")


@MASK.part
class NoMask(PartOptions, frozen=True):
    """All tokens of the example; padding is left out under every setting."""

    kind: Literal["none"] = "none"
    meaning = "every token attends to all"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.2.3, encoder"


@MASK.part
class Causal(PartOptions, frozen=True):
    """Itself and those before it. The decoder of an encoder-decoder is so whatever stands here."""

    kind: Literal["causal"] = "causal"
    meaning = "a token attends to itself and those before it"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.2.3, decoder"
    requires: ClassVar[Requires] = {"readout": ("mean", "tokens")}
    why = "under this mask the first token sees itself alone, so it cannot stand for the example"
