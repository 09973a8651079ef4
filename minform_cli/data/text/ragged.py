"""Sentences of many lengths as tokens: one after another in one array, with the places where each begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """Sentences, or other rows of tokens.

    Attributes:
        tokens: of all sentences, one after another, int32.
        offsets: (n + 1,) where each sentence begins and the last one ends, int64.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> NDArray[np.int32]:
        """The tokens of one."""
        return self.tokens[self.offsets[place] : self.offsets[place + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,) tokens of each."""
        return np.diff(self.offsets)

    def rows(self, places: NDArray[np.intp]) -> Ragged:
        """Those at `places`, in that order."""
        pieces = [self[place] for place in places.tolist()]
        return ragged(np.concatenate(pieces) if pieces else self.tokens[:0], self.lengths[places])

    def update_digest(self, update: Callable[[bytes], object]) -> None:
        """Adds all tokens and where they are cut, the same on every machine."""
        update(self.tokens.astype("<i4").tobytes())
        update(self.offsets.astype("<i8").tobytes())

    def where(self, wanted: NDArray[np.bool_]) -> Ragged:
        """Those of the sentences that are `wanted` (n,), in their order."""
        if wanted.all():
            return self
        lengths = self.lengths
        return ragged(self.tokens[np.repeat(wanted, lengths)], lengths[wanted])


def ragged(tokens: NDArray[np.int32], lengths: NDArray[np.int64]) -> Ragged:
    """Sentences of `lengths` (n,) that stand one after another in `tokens`."""
    return Ragged(tokens, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
