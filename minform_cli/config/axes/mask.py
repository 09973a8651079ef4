"""Axis `mask`: which tokens a token may attend to."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

from minform_cli.config.axes.base import PartOptions, Requires, new_axis
from minform_cli.config.axes.readout import READOUT
from minform_cli.config.form import MaskForm


class Mask(PartOptions, frozen=True):
    """Base of the masks."""

    @abstractmethod
    def form(self) -> MaskForm:
        """What it hides."""


MASK = new_axis("mask", "which tokens a token may attend to", Mask)


@MASK.part
class NoMask(Mask, frozen=True):
    """All tokens of the example; padding is left out under every setting."""

    kind: Literal["none"] = "none"
    meaning = "every token attends to all"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.2.3, encoder"

    def form(self) -> MaskForm:  # noqa: D102
        return MaskForm(causal=False)


@MASK.part
class Causal(Mask, frozen=True):
    """Itself and those before it. The decoder of an encoder-decoder is so whatever stands here."""

    kind: Literal["causal"] = "causal"
    meaning = "a token attends to itself and those before it"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.2.3, decoder"
    requires: ClassVar[Requires] = {"readout": tuple(kind for kind in READOUT.names() if READOUT.get(kind).reads_all)}
    why = "under this mask the first token sees itself alone, so it cannot stand for the example"

    def form(self) -> MaskForm:  # noqa: D102
        return MaskForm(causal=True)
