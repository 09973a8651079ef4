"""Attention: mixed_h = softmax(q_h k_h^T / sqrt(d)) v_h, from a similarity and a value path.

The scale is 1 / sqrt(d), d = N / H, for every part, also where the compared vectors are wider.
Source: Attention Is All You Need, arXiv 1706.03762, equation 1.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.similarity import SIMILARITIES
from minform_cli.models.parts.value import VALUES


class Attention(nn.Module):
    """Self-attention of a block. The similarity -> `similarity`, the value path -> `value`."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.similarity = SIMILARITIES.get(model.similarity.kind)(model)
        self.value = VALUES.get(model.value.kind)(model)
        self.scale = model.head_dim**-0.5
        self.dropout = model.dropout

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Every token as a mixture of all."""
        queries, keys = self.similarity(x)
        values = self.value.values(x, keys)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout, scale=self.scale)
        return self.value.merge(mixed)
