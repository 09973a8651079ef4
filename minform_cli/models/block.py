"""One encoder block: attention and, if there is one, the MLP; each with norm and skip connection as the axes say."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.attention import Attention
from minform_cli.models.parts.mlp import MLPS
from minform_cli.models.parts.norm import NORMS, Norm


class Block(nn.Module):
    """Attention -> `attention`, MLP -> `mlp`, their norms -> `attention_norm` and `mlp_norm`. Absent parts are None."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.attention = Attention(model)
        self.attention_norm = NORMS.get(model.norm.kind)(model)
        self.mlp = MLPS.get(model.mlp.kind)(model)
        self.mlp_norm = NORMS.get(model.norm.kind)(model) if self.mlp is not None else None
        self.norm_first = model.norm.kind == "pre"
        self.residual = model.residual.kind == "on"
        self.dropout = model.dropout

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """The tokens after this block."""
        x = self._sublayer(x, self.attention, self.attention_norm)
        return x if self.mlp is None else self._sublayer(x, self.mlp, self.mlp_norm)

    def _sublayer(self, x: Tensor, sublayer: nn.Module, norm: Norm | None) -> Tensor:
        out: Tensor = sublayer(norm(x) if norm is not None and self.norm_first else x)
        if self.dropout:
            out = F.dropout(out, self.dropout, self.training)
        if self.residual:
            out = x + out
        return norm(out) if norm is not None and not self.norm_first else out
