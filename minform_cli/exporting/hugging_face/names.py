"""Names of tensors in the files of transformers, as they are on disk since its version 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from minform_cli.exporting.hugging_face.standard import Affine, Layer, StandardStack
from minform_cli.models.parts.linear import Matrix


@dataclass(frozen=True, kw_only=True)
class LayerNames:
    """Where what a `Layer` holds stands, below `layer`, which counts the blocks with {}."""

    layer: str
    queries: str
    keys: str
    values: str
    output: str
    w_1: str
    w_2: str
    attention_norm: str
    mlp_norm: str


BERT = LayerNames(
    layer="encoder.layer.{}.",
    queries="attention.self.query",
    keys="attention.self.key",
    values="attention.self.value",
    output="attention.output.dense",
    w_1="intermediate.dense",
    w_2="output.dense",
    attention_norm="attention.output.LayerNorm",
    mlp_norm="output.LayerNorm",
)
DISTILBERT = LayerNames(
    layer="transformer.layer.{}.",
    queries="attention.q_lin",
    keys="attention.k_lin",
    values="attention.v_lin",
    output="attention.out_lin",
    w_1="ffn.lin1",
    w_2="ffn.lin2",
    attention_norm="sa_layer_norm",
    mlp_norm="output_layer_norm",
)
VIT = LayerNames(
    layer="encoder.layer.{}.",
    queries="attention.attention.query",
    keys="attention.attention.key",
    values="attention.attention.value",
    output="attention.output.dense",
    w_1="intermediate.dense",
    w_2="output.dense",
    attention_norm="layernorm_before",
    mlp_norm="layernorm_after",
)


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A model as a class of transformers has it.

    Attributes:
        architecture: the class.
        auto: the `Auto...` class that finds it.
        config: content of ``config.json``, but for what every one has.
        tensors: content of ``model.safetensors``.
    """

    architecture: str
    auto: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def named(where: str, part: Matrix | Affine) -> dict[str, Tensor]:
    """Weight and bias of a linear map, transposed as torch keeps it, or of a norm; float32."""
    weight = part.weight.T if isinstance(part, Matrix) else part.weight
    return {f"{where}.weight": weight.float().contiguous(), f"{where}.bias": part.bias.float().contiguous()}


def layers(stack: StandardStack, names: LayerNames, prefix: str) -> dict[str, Tensor]:
    """The tensors of all blocks."""
    found: dict[str, Tensor] = {}
    for number, layer in enumerate(stack.layers):
        start = prefix + names.layer.format(number)
        for part in fields(Layer):
            found |= named(start + getattr(names, part.name), getattr(layer, part.name))
    return found
