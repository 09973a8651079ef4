"""How a token knows where it stands: a (T, N) table added to the embedding, or nothing.

Numbers: `learned` T N (the class token's position included), `sinusoidal` and `none` nothing.
Sources: arXiv 2010.11929, section 3.1; arXiv 1706.03762, section 3.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.registry import Registry

POSITIONS: Registry[Callable[[int, int], nn.Module | None]] = Registry("position")


@POSITIONS.register("learned")
class LearnedPositions(nn.Module):
    """One learned vector per position, started from N(0, 0.02^2)."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(tokens, dim))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Tokens plus their positions."""
        return x + self.table


@POSITIONS.register("sinusoidal")
class SinusoidalPositions(nn.Module):
    """sin(t / 10000^(2i/N)) in the first half of the columns, cos in the second; a constant, not a parameter."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        half = (dim + 1) // 2
        frequencies = torch.exp(torch.arange(half) * (-math.log(10_000) / max(half, 1)))
        angles = torch.arange(tokens).unsqueeze(1) * frequencies
        self.table: Tensor
        self.register_buffer("table", torch.cat([angles.sin(), angles.cos()], dim=1)[:, :dim], persistent=False)

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Tokens plus their positions."""
        return x + self.table


@POSITIONS.register("none")
def no_positions(_tokens: int, _dim: int) -> None:
    """Nothing: the tokens are a set."""
    return
