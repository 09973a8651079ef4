"""Axis `mlp`: the sublayer after attention."""

from __future__ import annotations

from typing import Literal

from minform_cli.config.axes.base import PartOptions, new_axis
from minform_cli.config.axes.similarity import MINIMUM

MLP = new_axis("mlp", "the sublayer after attention")


@MLP.part
class Gelu(PartOptions, frozen=True):
    """Two linear maps with GELU between them; the hidden width is `model.mlp_multiple` times `model.dim`."""

    kind: Literal["gelu"] = "gelu"
    meaning = "two linear maps with GELU between, hidden width model.mlp_multiple x model.dim"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.3, with GELU"


@MLP.part
class Relu(PartOptions, frozen=True):
    """`gelu` with the rectifier between the maps."""

    kind: Literal["relu"] = "relu"
    meaning = "two linear maps with ReLU between, hidden width model.mlp_multiple x model.dim"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.3"


@MLP.part
class NoMlp(PartOptions, frozen=True):
    """No MLP sublayer: attention is all there is."""

    kind: Literal["none"] = "none"
    meaning = "no MLP sublayer (and no norm for it)"
    source = f"{MINIMUM}, Transformer without MLP"
