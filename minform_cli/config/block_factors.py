"""Two block-diagonal factors with a permutation between: how many blocks widths allow, and the rank of each.

An I x O matrix of b x b blocks, each of rank q, is L P R: L has b blocks of (I / b) x b q, R b blocks of b q x (O / b),
and the permutation P gives every block of R q columns of every block of L. Numbers: b q (I + O). With I = O = N and
q = N / b^2 both factors are N x N with N / b wide blocks, 2 N^2 / b numbers.
Source: Dao et al. 2022, Monarch, arXiv 2204.00595, section 3. No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from minform_cli.config.form import Weights


@dataclass(frozen=True)
class BlockFactors:
    """The shape of both factors."""

    dim_in: int
    dim_out: int
    blocks: int
    rank: int

    @property
    def title(self) -> str:  # noqa: D102
        return "maps of block-diagonal factors"

    @property
    def module(self) -> str:  # noqa: D102
        return "MonarchMap"

    @property
    def planned(self) -> bool:  # noqa: D102
        return False

    @property
    def numbers(self) -> int:
        """b q (I + O)."""
        return self.blocks * self.rank * (self.dim_in + self.dim_out)

    @property
    def holds(self) -> tuple[Weights, ...]:  # noqa: D102
        left = Weights(name="left", numbers=self.blocks * self.rank * self.dim_in)
        return (left, Weights(name="right", numbers=self.blocks * self.rank * self.dim_out))

    def macs_for(self, tokens: int, planned_for: int) -> int:  # noqa: ARG002, D102
        return tokens * self.numbers

    def note(self, planned_for: int) -> str:  # noqa: ARG002
        """Its blocks, rank and numbers."""
        return f"in {self.blocks} x {self.blocks} blocks of rank {self.rank}, {self.numbers:,} numbers"


def block_factors(dim_in: int, dim_out: int, blocks: int) -> BlockFactors | None:
    """The factors of so many blocks, or of as many as divide both widths; None where they save no number.

    The rank of a block is the smaller width over the square of their number, rounded, and one at least.
    """
    number = math.gcd(blocks, dim_in, dim_out)
    found = BlockFactors(dim_in, dim_out, number, max(1, round(min(dim_in, dim_out) / number**2)))
    return found if found.numbers < dim_in * dim_out else None
