"""Axis `bias`: which linear maps carry a bias vector.

LayerNorm keeps its own shift under every setting: it is no linear map. The parts `mirrored` and `cholesky` never
have one, whatever stands here, and omitted maps have none either.
"""

from __future__ import annotations

from typing import Literal

from minform_cli.config.axes.base import PartOptions, new_axis

BIAS = new_axis("bias", "which linear maps carry a bias")


@BIAS.part
class All(PartOptions, frozen=True):
    """A bias on every linear map, as published architectures have it, dead key biases included."""

    kind: Literal["all"] = "all"
    meaning = "every linear map, dead key biases included (as published architectures count)"
    source = "torch.nn.MultiheadAttention and torch.nn.TransformerEncoderLayer, bias=True"


@BIAS.part
class Live(PartOptions, frozen=True):
    """Every bias that can change the output: all but the key biases that softmax cancels."""

    kind: Literal["live"] = "live"
    meaning = "every bias but the key biases that softmax cancels"
    source = "softmax(s + c) = softmax(s) for a number c added to all scores of one query"


@BIAS.part
class NoBias(PartOptions, frozen=True):
    """No bias on any linear map: projections, MLP, patch embedding, head."""

    kind: Literal["none"] = "none"
    meaning = "no linear map has a bias, patch embedding and head included"
    source = "PaLM, arXiv 2204.02311, section 2 (no biases in dense kernels)"
