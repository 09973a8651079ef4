"""Axis `readout`: which vector of the last block goes to the head."""

from __future__ import annotations

from typing import ClassVar, Literal

from minform_cli.config.axes.base import PartOptions, Requires, new_axis

READOUT = new_axis("readout", "which vector goes to the head")


@READOUT.part
class ClassToken(PartOptions, frozen=True):
    """A learned token put before the others; its last state goes to the head. Text brings its own: the first token."""

    kind: Literal["class-token"] = "class-token"
    meaning = "a learned token put before the others (text brings its own)"
    source = "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1"


@READOUT.part
class Mean(PartOptions, frozen=True):
    """The mean of all tokens; no class token."""

    kind: Literal["mean"] = "mean"
    meaning = "the mean of all tokens, no class token"
    source = "Better plain ViT baselines for ImageNet-1k, arXiv 2205.01580"


@READOUT.part
class Pooler(PartOptions, frozen=True):
    """The class token's last state through a linear map and tanh."""

    kind: Literal["pooler"] = "pooler"
    meaning = "the class token through a linear map and tanh"
    source = "BERT, arXiv 1810.04805, section 3, as its published code pools"


@READOUT.part
class Tokens(PartOptions, frozen=True):
    """The last state of every token, for tasks that predict tokens."""

    kind: Literal["tokens"] = "tokens"
    meaning = "every token by itself, to predict tokens"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.4"
    requires: ClassVar[Requires] = {"embedding": ("tokens", "h-softpos")}
    why = "image patches have no entries of a vocabulary to predict"
