"""Axis `norm`: where layer normalisation stands."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis

NORM = new_axis("norm", "where layer normalisation stands")


@NORM.part
class Post(PartOptions, frozen=True):
    """x = LN(x + sublayer(x)); no final norm.

    Attributes:
        eps: added to the variance (dimensionless).
    """

    kind: Literal["post"] = "post"
    eps: float = Field(default=1e-5, gt=0)
    meaning = "LayerNorm after each sublayer; no final norm"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.1"


@NORM.part
class Pre(PartOptions, frozen=True):
    """x = x + sublayer(LN(x)); one final norm after the last block.

    Attributes:
        eps: added to the variance (dimensionless).
    """

    kind: Literal["pre"] = "pre"
    eps: float = Field(default=1e-5, gt=0)
    meaning = "LayerNorm before each sublayer and one after the last block"
    source = "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1"


@NORM.part
class NoNorm(PartOptions, frozen=True):
    """No normalisation anywhere."""

    kind: Literal["none"] = "none"
    meaning = "no normalisation"
    source = "Reducing the Transformer Architecture to a Minimum, arXiv 2410.13732, collapsing over the stack"
