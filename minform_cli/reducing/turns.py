"""Bases of a head's columns in which the first few say most, from second moments, in float64. Row vectors.

Queries and keys: q ~ q T, k ~ k T', least mean squared error of scores of independent queries and keys, these less
their mean over the example (softmax cancels what all keys share). Values: v ~ v T, least squared error of what the head
adds. Source: A3 (ICML 2026), closed forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from minform_cli.models.parts.base import split_heads
from minform_cli.reducing.least_squares import damped, power
from minform_cli.reducing.walk import Walk, read_by

DAMPING_RANKS = 1e-3
"""lam over the mean diagonal; no other value was compared."""


class ScoreMoments:
    """Second moments of the queries and of the keys of every head, and the bases that come of them.

    Args:
        block: the original's.
        walk: at its depth.
        rows: of every batch, the tokens that stand before it.
    """

    def __init__(self, block: Any, walk: Walk, rows: Sequence[Tensor]) -> None:
        self.queries, self.keys = block.attention.similarity.projections()
        heads = self.heads = walk.heads
        weights = [each.weight.float() for each in (self.queries, self.keys)]
        seconds: list[Any] = [0.0, 0.0]
        for x, real in zip(rows, walk.real, strict=True):
            read, mask = read_by(block.attention_norm, block, x), real[:, None, :, None]
            queries = split_heads(read @ weights[0] + self.queries.bias.float(), heads) * mask
            keys = split_heads(read @ weights[1], heads) * mask
            keys = (keys - keys.sum(2, keepdim=True) / mask.sum(2, keepdim=True)) * mask
            for which, each in enumerate((queries, keys)):
                seconds[which] = seconds[which] + torch.einsum("bhte,bhtf->hef", each, each).double()
        self._one, self._two = (damped(each, DAMPING_RANKS) for each in seconds)
        self._left, self.sizes, self._right = torch.linalg.svd(power(self._one, 0.5) @ power(self._two, 0.5))

    def maps(self, rank: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """W_Q, b_Q and W_K of every head, `rank` columns each."""
        root = self.sizes[:, None, :rank].sqrt()
        turn_q = power(self._one, -0.5) @ (self._left[:, :, :rank] * root)
        turn_k = power(self._two, -0.5) @ (self._right[:, :rank].mT * root)
        biases = self.queries.bias.unflatten(0, (self.heads, -1))
        return (
            list(self._by_head(self.queries.weight) @ turn_q),
            [bias @ turn for bias, turn in zip(biases, turn_q, strict=True)],
            list(self._by_head(self.keys.weight) @ turn_k),
        )

    def _by_head(self, weight: Tensor) -> Tensor:
        return weight.unflatten(-1, (self.heads, -1)).transpose(0, -2)


def value_bases(moment: Tensor, output: Tensor, heads: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Of each head: all columns of T, sizes of what each says, and the rows of W_O that go with them.

    Args:
        moment: of what the heads mix, side by side.
        output: W_O.
        heads: of them.
    """
    width = len(moment) // heads
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for start in range(0, len(moment), width):
        own = slice(start, start + width)
        second = damped(moment[own, own], DAMPING_RANKS)
        left, sizes, right = torch.linalg.svd(power(second, 0.5) @ output[own], full_matrices=False)
        found.append((power(second, -0.5) @ (left * sizes), sizes, right))
    return found
