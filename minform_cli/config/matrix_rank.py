"""Matrices of low rank: two factors A (I x r) and B (r x O), and the rank that a share of the matrix's numbers allows.

Numbers: r (I + O), less than the matrix's I O where r is below I O / (I + O). No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from minform_cli.config.form import Weights


@dataclass(frozen=True)
class Factors:
    """The shape of both factors."""

    dim_in: int
    dim_out: int
    rank: int

    @property
    def title(self) -> str:  # noqa: D102
        return "maps of low rank"

    @property
    def module(self) -> str:  # noqa: D102
        return "LowRankMap"

    @property
    def planned(self) -> bool:  # noqa: D102
        return False

    @property
    def numbers(self) -> int:
        """r (I + O)."""
        return self.rank * (self.dim_in + self.dim_out)

    @property
    def most(self) -> int:
        """The largest rank that saves numbers; 0 where none does."""
        return (self.dim_in * self.dim_out - 1) // (self.dim_in + self.dim_out)

    @property
    def holds(self) -> tuple[Weights, ...]:  # noqa: D102
        a = Weights(name="a", numbers=self.rank * self.dim_in)
        return (a, Weights(name="b", numbers=self.rank * self.dim_out))

    def macs_for(self, tokens: int, planned_for: int) -> int:  # noqa: ARG002, D102
        return tokens * self.numbers

    def note(self, planned_for: int) -> str:  # noqa: ARG002
        """Its rank and numbers."""
        return f"with rank {self.rank}, {self.numbers:,} numbers"


def rank_for(size: float, dim_in: int, dim_out: int) -> int:
    """The rank that `size` asks for: itself if it is whole, else the largest with that share of the numbers, or 1."""
    if isinstance(size, int):
        return size
    return max(1, math.floor(size * dim_in * dim_out / (dim_in + dim_out) * (1 + 1e-12)))
