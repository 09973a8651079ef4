"""Which part of a model gives up how much: the least loss in all whose numbers fit. Imports no torch.

Every part has sizes, each with its numbers and with what the model loses by it alone. Losses are taken to add up; then
the least sum under a budget is, for some price of a number, the choice of every part by itself that has the least
loss + price x numbers (Everett 1963, generalised Lagrange multipliers). The price is found by bisection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROUNDS = 200
"""Of the bisection: the price is then as exact as a float is."""


@dataclass(frozen=True)
class Item:
    """One part that can be smaller.

    Attributes:
        sizes: ascending.
        numbers: of each size, ascending.
        losses: of each size, what the model loses where this part alone is so small.
    """

    sizes: tuple[int, ...]
    numbers: tuple[int, ...]
    losses: tuple[float, ...]

    def at(self, price: float) -> int:
        """The place of the size that is best at that price of a number; the smaller of two equally good ones."""
        costs = [loss + price * number for loss, number in zip(self.losses, self.numbers, strict=True)]
        return costs.index(min(costs))


def fitting(items: Sequence[Item], allowed: int) -> list[int] | None:
    """The place of each item's size, their numbers `allowed` at most; None where the smallest are too large."""
    if sum(item.numbers[0] for item in items) > allowed:
        return None
    low, high = 0.0, 1.0
    while _numbers(items, high) > allowed:
        high *= 2
    if _numbers(items, low) <= allowed:
        return [item.at(low) for item in items]
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        if _numbers(items, middle) > allowed:
            low = middle
        else:
            high = middle
    return [item.at(high) for item in items]


def _numbers(items: Sequence[Item], price: float) -> int:
    return sum(item.numbers[item.at(price)] for item in items)
