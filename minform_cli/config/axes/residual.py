"""Axis `residual`: whether a sublayer's input is added to its output."""

from __future__ import annotations

from typing import Literal

from minform_cli.config.axes.base import PartOptions, new_axis

RESIDUAL = new_axis("residual", "skip connections")


@RESIDUAL.part
class On(PartOptions, frozen=True):
    """x + sublayer(x)."""

    kind: Literal["on"] = "on"
    meaning = "skip connection around every sublayer"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.1"


@RESIDUAL.part
class Off(PartOptions, frozen=True):
    """sublayer(x) alone."""

    kind: Literal["off"] = "off"
    meaning = "no skip connections"
    source = "Reducing the Transformer Architecture to a Minimum, arXiv 2410.13732, collapsing over the stack"
