"""Tensor chains: widths as products, the rank that a ratio allows, and in which order a chain is best multiplied.

A chain of n cores stands for an I x O matrix, I = i_1 ... i_n and O = o_1 ... o_n: core 1 is (i_1, r, o_1), core n is
(i_n, r, o_n), those between are (i_k, r, r, o_k); the matrix is the sum over all r of the cores' Kronecker products.
Source: Anthe, arXiv 2305.10991 (lengths 2 and 3); length 4 is ours. No torch here: options know their chains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

from minform_cli.config.form import Weights

Plan = Literal["matrix", "first", "last"]
"""How tokens go through a chain: multiply it out to its matrix first; or core by core from the first or the last on."""

PLANS: tuple[Plan, ...] = ("matrix", "first", "last")

LEAST_RANK = 2


@dataclass(frozen=True)
class Chain:
    """The shape of one chain: `ins` and `outs` factor by factor, and the rank between neighbours."""

    ins: tuple[int, ...]
    outs: tuple[int, ...]
    rank: int

    @property
    def cores(self) -> tuple[tuple[int, int, int, int], ...]:
        """(i, rank to the left, rank to the right, o) of each; 1 where a core has no neighbour."""
        last = len(self.ins) - 1
        return tuple(
            (i, 1 if k == 0 else self.rank, 1 if k == last else self.rank, o)
            for k, (i, o) in enumerate(zip(self.ins, self.outs, strict=True))
        )

    @property
    def title(self) -> str:  # noqa: D102
        return "tensor chains"

    @property
    def module(self) -> str:  # noqa: D102
        return "TensorChain"

    @property
    def planned(self) -> bool:  # noqa: D102
        return True

    @property
    def numbers(self) -> int:
        """Of the cores: r at the ends and r^2 between them, times the factors of both widths."""
        sizes = [i * o for i, o in zip(self.ins, self.outs, strict=True)]
        return self.rank * (sizes[0] + sizes[-1]) + self.rank**2 * sum(sizes[1:-1])

    @property
    def holds(self) -> tuple[Weights, ...]:  # noqa: D102
        return (Weights(name="cores", numbers=self.numbers, module="ParameterList"),)

    def macs_for(self, tokens: int, planned_for: int) -> int:  # noqa: D102
        return self.macs(self.cheapest(planned_for), tokens)

    def note(self, planned_for: int) -> str:
        """Its factors, rank and numbers, and how it is multiplied."""
        order = {"matrix": "as one matrix", "first": "from the first core on", "last": "from the last core on"}
        ins, outs = (" x ".join(map(str, factors)) for factors in (self.ins, self.outs))
        plan = order[self.cheapest(planned_for)]
        return f"as {ins} -> {outs}, rank {self.rank}, {self.numbers:,} numbers, multiplied {plan}"

    def macs(self, plan: Plan, tokens: int) -> int:
        """Multiply-accumulates to send `tokens` through the chain."""
        if plan == "matrix":
            return self.building_macs() + tokens * math.prod(self.ins) * math.prod(self.outs)
        cores = self.cores if plan == "first" else self.cores[::-1]
        total, left, done = 0, math.prod(self.ins), 1
        for i, before, after, o in cores:
            total += tokens * left * before * after * o * done
            left, done = left // i, done * o
        return total

    def building_macs(self) -> int:
        """Multiply-accumulates to make the matrix, core after core."""
        total, size = 0, self.ins[0] * self.outs[0]
        for i, before, after, o in self.cores[1:]:
            total += size * before * i * o * after
            size *= i * o
        return total

    def cheapest(self, tokens: int) -> Plan:
        """The plan with the fewest multiply-accumulates for so many tokens; of equal ones the first of `PLANS`."""
        return min(PLANS, key=lambda plan: self.macs(plan, tokens))


@cache
def balanced(number: int, length: int) -> tuple[int, ...]:
    """`number` as a product of `length` factors of least sum, the largest first: 512 is 32 x 16 or 8 x 8 x 8."""
    if length == 1:
        return (number,)
    rests = [(divisor, balanced(number // divisor, length - 1)) for divisor in _divisors(number)]
    ordered = [tuple(sorted((divisor, *rest), reverse=True)) for divisor, rest in rests]
    return min(ordered, key=lambda factors: (sum(factors), factors))


def _divisors(number: int) -> list[int]:
    low = [k for k in range(1, math.isqrt(number) + 1) if number % k == 0]
    return sorted({*low, *(number // k for k in low)})


def rank(ins: tuple[int, ...], outs: tuple[int, ...], ratio: float) -> int:
    """The largest rank with which the cores have at most `ratio` of the matrix's numbers, but at least `LEAST_RANK`.

    The positive root of ends r + inner r^2 = ratio I O, rounded down; ends are the first core and the last.
    """
    sizes = [i * o for i, o in zip(ins, outs, strict=True)]
    ends, inner = sizes[0] + sizes[-1], sum(sizes[1:-1])
    allowed = ratio * math.prod(sizes)
    root = allowed / ends if not inner else 2 * allowed / (ends + math.sqrt(ends**2 + 4 * inner * allowed))
    return max(LEAST_RANK, math.floor(root * (1 + 1e-12)))  # a rank that just fits is not lost to rounding
