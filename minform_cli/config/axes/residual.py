"""Axis `residual`: whether a sublayer's input is added to its output, and whether that is scaled before."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis, of_every_run
from minform_cli.config.form import Form, ResidualForm, Weights

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class Residual(PartOptions, frozen=True):
    """Base of the skip connections."""

    @abstractmethod
    def form(self, model: ModelConfig) -> ResidualForm:
        """Whether there is one, and what is multiplied first."""


RESIDUAL = new_axis("residual", "skip connections", Residual, per_block=True)


@RESIDUAL.part
class On(Residual, frozen=True):
    """x + sublayer(x)."""

    kind: Literal["on"] = "on"
    meaning = "skip connection around every sublayer"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.1"

    def form(self, model: ModelConfig) -> ResidualForm:  # noqa: ARG002, D102
        return ResidualForm(adds=True)


@RESIDUAL.part
class Off(Residual, frozen=True):
    """sublayer(x) alone."""

    kind: Literal["off"] = "off"
    meaning = "no skip connections"
    source = "Reducing the Transformer Architecture to a Minimum, arXiv 2410.13732, collapsing over the stack"

    def form(self, model: ModelConfig) -> ResidualForm:  # noqa: ARG002, D102
        return ResidualForm(adds=False)


@RESIDUAL.part
class Scaled(Residual, frozen=True):
    """x + g * sublayer(x), with N numbers g of each sublayer, of their own in every run of a shared block.

    Of a block that runs once, g could be multiplied into the maps that lead out of its sublayers: there it is another
    way to learn, and no other function.

    Attributes:
        initial: value that all of g begin with.
    """

    kind: Literal["scaled"] = "scaled"
    initial: float = Field(default=1.0, gt=0)
    meaning = "skip connections around sublayers whose outputs are scaled, channel by channel, at every depth anew"
    source = "LayerScale, arXiv 2103.17239, section 2; for every run of a shared block: SReT, arXiv 2111.05297"

    def form(self, model: ModelConfig) -> ResidualForm:  # noqa: D102
        gain = Weights(name="", numbers=model.runs * model.dim)
        return ResidualForm(adds=True, scale=Form(module="ResidualScale", group="norm", holds=(gain,)))

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        return of_every_run("model.residual 'scaled'", model, "on, off", "on")
