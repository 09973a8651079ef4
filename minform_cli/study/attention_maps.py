"""How a model attends: the attention weights of every layer and head, read off a forward pass.

The fused attention of torch does not hand out its weights, so they are computed again from the queries and keys that
the similarity made: softmax(q_h k_h^T scale), as `models.parts.attention` has it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.models.parts.attention import Attention
from minform_cli.models.parts.similarity.base import QueryKey
from minform_cli.models.stack import ImageEncoder
from minform_cli.report.records import AttentionRecord

_DIGITS = 6
"""Decimals kept of a weight in a record; a colour has 256 steps."""


def attention_weights(model: nn.Module, images: Float[Tensor, "b c y x"]) -> list[Float[Tensor, "b h t t"]]:
    """The attention weights of one forward pass without dropout, a tensor a layer, in the order the layers run.

    A block that runs at several depths gives one tensor at each. Row i holds how much query i takes of every token.

    Args:
        model: with any number of `Attention` modules; left in evaluation mode.
        images: normalised.
    """
    maps: list[Tensor] = []
    handles = [_recording(module, maps) for module in model.modules() if isinstance(module, Attention)]
    model.eval()
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return maps


def attention_record(model: ImageEncoder, image: Float[Tensor, "1 c y x"]) -> AttentionRecord:
    """How `model` attends over one normalised image, and what it takes it for."""
    layers = attention_weights(model, image)
    (rows, columns), added = model.embedding.grid, model.embedding.added
    with torch.no_grad():
        prediction = int(model(image).argmax(dim=1).item())
    found = iter(layers)
    attends = [any(isinstance(part, Attention) for part in model.blocks[block].modules()) for block in model.order]
    weights = [_seen(next(found), added) if attended else [] for attended in attends]
    return AttentionRecord(
        rows=rows,
        columns=columns,
        tokens=added + rows * columns,
        class_token=added > 0,
        weights=weights,
        prediction=prediction,
    )


def _seen(weights: Float[Tensor, "1 h t t"], added: int) -> list[list[float]]:
    """What the class token, or else a token on average, takes of every patch, by head."""
    seen = weights[0, :, 0, added:] if added else weights[0].mean(dim=1)
    return [[round(weight, _DIGITS) for weight in head] for head in seen.tolist()]


def _recording(attention: Attention, maps: list[Tensor]) -> Any:
    """Appends the weights of every pass through `attention` to `maps`; what ends it is returned."""

    def record(_module: nn.Module, _arguments: Any, compared: QueryKey) -> None:
        scores = compared.products() * attention.scale
        if attention.causal:
            behind = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(behind, float("-inf"))
        maps.append(scores.softmax(dim=-1))

    return attention.similarity.register_forward_hook(record)
