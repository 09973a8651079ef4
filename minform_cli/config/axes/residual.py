"""Axis `residual`: whether a sublayer's input is added to its output."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from minform_cli.config.axes.base import PartOptions, new_axis
from minform_cli.config.form import ResidualForm


class Residual(PartOptions, frozen=True):
    """Base of the skip connections."""

    @abstractmethod
    def form(self) -> ResidualForm:
        """Whether there is one."""


RESIDUAL = new_axis("residual", "skip connections", Residual, per_block=True)


@RESIDUAL.part
class On(Residual, frozen=True):
    """x + sublayer(x)."""

    kind: Literal["on"] = "on"
    meaning = "skip connection around every sublayer"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.1"

    def form(self) -> ResidualForm:  # noqa: D102
        return ResidualForm(adds=True)


@RESIDUAL.part
class Off(Residual, frozen=True):
    """sublayer(x) alone."""

    kind: Literal["off"] = "off"
    meaning = "no skip connections"
    source = "Reducing the Transformer Architecture to a Minimum, arXiv 2410.13732, collapsing over the stack"

    def form(self) -> ResidualForm:  # noqa: D102
        return ResidualForm(adds=False)
