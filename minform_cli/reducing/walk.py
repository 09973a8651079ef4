"""The tokens of calibration examples, block after block: the original's, and those of the smaller model so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from minform_cli.config.axes.mask import Mask
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import join_heads
from minform_cli.reducing.calibration import Inputs


class Walk:
    """The tokens of every batch at one depth.

    Attributes:
        original: in the original.
        smaller: in the smaller model, whose blocks before it are done.
        real: which of them do not only fill up.

    Args:
        original: an encoder.
        model: its config.
        batches: its inputs.
    """

    def __init__(self, original: Any, model: ModelConfig, batches: Sequence[Inputs]) -> None:
        self.heads, self.scale = model.heads, model.head_dim**-0.5
        self.causal = cast(Mask, model.mask).form().causal
        self.original: list[Tensor] = [original.embedding(*inputs[:2]) for inputs in batches]
        self.smaller = list(self.original)
        self.real = [
            torch.ones(x.shape[:2], dtype=torch.bool) if len(inputs) < 3 or inputs[2] is None else inputs[2]
            for x, inputs in zip(self.original, batches, strict=True)
        ]

    def seen(self, at: int) -> Tensor | None:
        """Which tokens of batch `at` may be attended to."""
        return None if self.causal or bool(self.real[at].all()) else self.real[at].unsqueeze(1)

    def mixed(self, queries: Tensor, keys: Tensor, values: Tensor, at: int) -> Tensor:
        """What the heads mix, side by side."""
        seen = self.seen(at)
        mask = None if seen is None else seen.unsqueeze(1)
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=self.causal, scale=self.scale
        )
        return join_heads(mixed)


def read_by(norm: Any, block: Any, x: Tensor) -> Tensor:
    """What a sublayer of `block` with that norm reads of the tokens."""
    return norm(x) if norm is not None and block.norm_first else x


def after(norm: Any, block: Any, x: Tensor) -> Tensor:
    """The tokens after a sublayer, once what it gives is added."""
    return norm(x) if norm is not None and not block.norm_first else x


def weights_of_tokens(block: Any, wanted: Tensor) -> Tensor:
    """Of each token: where a norm divides it by its deviation, errors count over that."""
    return torch.ones_like(wanted[:, 0]) if block.norm_first else 1 / wanted.var(1).clamp_min(1e-12)
