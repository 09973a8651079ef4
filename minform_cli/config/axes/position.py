"""Axis `position`: how a token knows where it stands."""

from __future__ import annotations

from typing import Literal

from minform_cli.config.axes.base import PartOptions, new_axis

POSITION = new_axis("position", "how a token knows where it stands")


@POSITION.part
class Learned(PartOptions, frozen=True):
    """One learned vector per position, added to the embedding."""

    kind: Literal["learned"] = "learned"
    meaning = "one learned vector per position"
    source = "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1"


@POSITION.part
class Sinusoidal(PartOptions, frozen=True):
    """Fixed sines and cosines of the position, no parameters."""

    kind: Literal["sinusoidal"] = "sinusoidal"
    meaning = "fixed sines and cosines, no parameters"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.5"


@POSITION.part
class NoPosition(PartOptions, frozen=True):
    """Nothing: the model sees a set of tokens."""

    kind: Literal["none"] = "none"
    meaning = "no positions: the model sees a set of tokens"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.5 (left out)"
