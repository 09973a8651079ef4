"""What is measured on and stands word for word in what is trained on: looked for by hashes of tokens, all at once.

A stretch t_0, t_1, ... has the hash sum of (t_i + 1) B^i modulo 2^64, so that of any stretch of a row follows from two
running sums: no stretch is cut out. Two that differ would share a hash by chance alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.text.tokens import Sequences

STRETCH = 32
"""Tokens: about two sentences, which are rarely the same by chance."""

SHORTEST = 16
"""Sequences shorter than this are not looked at: set phrases would be found."""

CHUNK = 2**20
"""Tokens hashed at once."""

FILTER_BITS = 22

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse
_INVERSE = pow(_BASE, -1, 2**64)

Hashes = NDArray[np.uint64]


def repeated_stretches(train: Sequences, measured: Sequences) -> tuple[int, int]:
    """How many stretches of the sequences `measured` stand in those of `train`, wherever they begin, and of how many.

    Nothing that reaches over the end of a sequence of `train` into one that is not in it is taken for trained on.
    """
    length = min(STRETCH, measured.length)
    if measured.length < SHORTEST or not len(measured):
        return 0, 0
    per_sequence = measured.length // length
    wanted: Hashes = np.concatenate(
        [
            _stretches(measured.take(chunk)[:, : per_sequence * length].ravel(), length)[::length]
            for chunk in np.array_split(np.arange(len(measured)), -(-len(measured) * measured.length // CHUNK))
        ]
    )
    known = np.unique(wanted)
    found = np.zeros(len(known), dtype=bool)
    marks = np.zeros(2**FILTER_BITS, dtype=bool)
    marks[_marks(known)] = True
    in_train = np.zeros(len(train.tokens) // train.length, dtype=bool)
    in_train[train.chosen] = True
    end = len(in_train) * train.length
    for start in range(0, end - length + 1, CHUNK):
        stretches = _stretches(train.tokens[start : min(start + CHUNK + length - 1, end)], length)
        (places,) = np.nonzero(marks[_marks(stretches)])
        first = (places + start) // train.length
        last = (places + start + length - 1) // train.length
        candidates = stretches[places[in_train[first] & in_train[last]]]
        where = np.minimum(np.searchsorted(known, candidates), len(known) - 1)
        found[where[known[where] == candidates]] = True
    return int(found[np.searchsorted(known, wanted)].sum()), len(wanted)


def row_hashes(tokens: NDArray[np.int32], offsets: NDArray[np.int64]) -> Hashes:
    """(n,) hashes of the rows that begin and end at `offsets` (n + 1,) of `tokens`; empty ones have 0."""
    hashes = np.zeros(len(offsets) - 1, dtype=np.uint64)
    edges = np.unique([*np.searchsorted(offsets, np.arange(0, len(tokens), CHUNK)), len(hashes)])
    for first, last in pairwise(edges):
        places = offsets[first : last + 1] - offsets[first]
        sums, inverses = _running(tokens[offsets[first] : offsets[last]])
        hashes[first:last] = (sums[places[1:]] - sums[places[:-1]]) * inverses[places[:-1]]
    return hashes


def _stretches(tokens: NDArray[Any], length: int) -> Hashes:
    """The hash of the `length` tokens from each place on, as long as there are so many."""
    sums, inverses = _running(tokens)
    return (sums[length:] - sums[:-length]) * inverses[: len(tokens) - length + 1]


def _running(tokens: NDArray[Any]) -> tuple[Hashes, Hashes]:
    """(n + 1,) sums of the first tokens times powers of the base, and powers of its inverse; all modulo 2^64."""
    num = len(tokens)
    powers, inverses = (_powers(base, num + 1) for base in (_BASE, _INVERSE))
    sums = np.zeros(num + 1, dtype=np.uint64)
    np.cumsum((tokens.astype(np.uint64) + np.uint64(1)) * powers[:num], out=sums[1:])
    return sums, inverses


def _powers(base: int, num: int) -> Hashes:
    powers = np.full(num, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _marks(hashes: Hashes) -> NDArray[np.intp]:
    return (hashes >> np.uint64(64 - FILTER_BITS)).astype(np.intp)
