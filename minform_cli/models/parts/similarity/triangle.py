"""A lower triangle as the parameter: the n (n + 1) / 2 numbers that are free, and nothing beside them.

Parametrised symmetric matrices elsewhere keep all n^2 numbers, which common counters then count; here the stored
tensor is what can vary.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn


class Triangle(nn.Module):
    """`heads` lower triangles of n x n matrices, stored row by row as (H, n (n + 1) / 2)."""

    def __init__(self, heads: int, size: int, std: float) -> None:
        super().__init__()
        self.size = size
        self.free = nn.Parameter(torch.empty(heads, size * (size + 1) // 2))
        nn.init.normal_(self.free, std=std)
        self.place: Tensor  # where each free number stands in the flattened n x n matrix
        self.register_buffer("place", torch.as_tensor(np.flatnonzero(np.tri(size))), persistent=False)

    def lower(self) -> Float[Tensor, "h n n"]:
        """The lower triangular matrices, zeros above the diagonal."""
        heads = self.free.shape[0]
        flat = self.free.new_zeros(heads, self.size * self.size).index_copy(1, self.place, self.free)
        return flat.view(heads, self.size, self.size)

    @torch.no_grad()
    def fill(self, lower: Float[Tensor, "h n n"]) -> None:
        """Takes the lower triangles of these matrices."""
        self.free.copy_(lower.flatten(1)[:, self.place])

    def mirrored(self) -> Float[Tensor, "h n n"]:
        """The symmetric matrices with w_ij = w_ji."""
        lower = self.lower()
        return lower + lower.tril(-1).transpose(1, 2)
