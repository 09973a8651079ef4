"""Matrices of low rank: two factors A (I x r) and B (r x O), and the rank that a share of the matrix's numbers allows.

Numbers: r (I + O), less than the matrix's I O where r is below I O / (I + O). And such factors beside a matrix, a pair
for each of the k runs of its block: I O + k r (I + O). No torch here.
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


@dataclass(frozen=True)
class Adapted:
    """The shape of a matrix and of the factors that are added to it in each run."""

    dim_in: int
    dim_out: int
    rank: int
    runs: int

    @property
    def title(self) -> str:  # noqa: D102
        return "maps with low-rank additions"

    @property
    def module(self) -> str:  # noqa: D102
        return "AdaptedMap"

    @property
    def planned(self) -> bool:  # noqa: D102
        return False

    @property
    def holds(self) -> tuple[Weights, ...]:  # noqa: D102
        a = Weights(name="a", numbers=self.runs * self.rank * self.dim_in)
        b = Weights(name="b", numbers=self.runs * self.rank * self.dim_out)
        return (Weights(name="weight", numbers=self.dim_in * self.dim_out), a, b)

    def macs_for(self, tokens: int, planned_for: int) -> int:  # noqa: ARG002, D102
        return tokens * (self.dim_in * self.dim_out + self.rank * (self.dim_in + self.dim_out))

    def note(self, planned_for: int) -> str:  # noqa: ARG002
        """Its rank, and how often it is there."""
        return f"with an addition of rank {self.rank} in each of {self.runs} runs"


def rank_for(size: float, dim_in: int, dim_out: int) -> int:
    """The rank that `size` asks for: itself if it is whole, else the largest with that share of the numbers, or 1."""
    if isinstance(size, int):
        return size
    return max(1, math.floor(size * dim_in * dim_out / (dim_in + dim_out) * (1 + 1e-12)))
