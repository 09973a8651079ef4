"""Axis `norm`: where layer normalisation stands."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis
from minform_cli.config.form import NormForm, Weights

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class Norm(PartOptions, frozen=True):
    """Base of the normalisations."""

    @abstractmethod
    def form(self, model: ModelConfig) -> NormForm | None:
        """One norm's, each sublayer having one; None: there is none."""


NORM = new_axis("norm", "where layer normalisation stands", Norm, per_block=True)


def _layer_norm(model: ModelConfig, *, first: bool) -> NormForm:
    """Scale and shift, 2 N numbers: Layer Normalization, arXiv 1607.06450."""
    return NormForm(module="Norm", holds=(Weights(name="", numbers=2 * model.dim),), first=first)


@NORM.part
class Post(Norm, frozen=True):
    """x = LN(x + sublayer(x)); no final norm.

    Attributes:
        eps: added to the variance (dimensionless).
    """

    kind: Literal["post"] = "post"
    eps: float = Field(default=1e-5, gt=0)
    meaning = "LayerNorm after each sublayer; no final norm"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.1"

    def form(self, model: ModelConfig) -> NormForm | None:  # noqa: D102
        return _layer_norm(model, first=False)


@NORM.part
class Pre(Norm, frozen=True):
    """x = x + sublayer(LN(x)); one final norm after the last block.

    Attributes:
        eps: added to the variance (dimensionless).
    """

    kind: Literal["pre"] = "pre"
    eps: float = Field(default=1e-5, gt=0)
    meaning = "LayerNorm before each sublayer and one after the last block"
    source = "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1"

    def form(self, model: ModelConfig) -> NormForm | None:  # noqa: D102
        return _layer_norm(model, first=True)


@NORM.part
class NoNorm(Norm, frozen=True):
    """No normalisation anywhere."""

    kind: Literal["none"] = "none"
    meaning = "no normalisation"
    source = "Reducing the Transformer Architecture to a Minimum, arXiv 2410.13732, collapsing over the stack"

    def form(self, model: ModelConfig) -> NormForm | None:  # noqa: ARG002, D102
        return None
