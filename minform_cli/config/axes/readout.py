"""Axis `readout`: which vector of the last block goes to the head."""

from __future__ import annotations

from typing import Literal

from minform_cli.config.axes.base import PartOptions, new_axis

READOUT = new_axis("readout", "which vector goes to the head")


@READOUT.part
class ClassToken(PartOptions, frozen=True):
    """A learned token put before the others; its last state goes to the head."""

    kind: Literal["class-token"] = "class-token"
    meaning = "a learned token put before the others"
    source = "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1"


@READOUT.part
class Mean(PartOptions, frozen=True):
    """The mean of all tokens; no class token."""

    kind: Literal["mean"] = "mean"
    meaning = "the mean of all tokens, no class token"
    source = "Better plain ViT baselines for ImageNet-1k, arXiv 2205.01580"
