"""Which training pairs are validated on, and which `data.limit` keeps: the same for every run's seed and tokenizer."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.pairs.files import SentenceFile
from minform_cli.errors import InputError

HOLDOUT_SEED = 0
"""Which pairs are held out never depends on the run's seed: seeds are compared on one validation set."""

LIMIT_SEED = 1
"""Which pairs `data.limit` keeps; likewise the same for every run."""

HOLDOUT_SHARE = 0.05

MOST_HELD_OUT = 2_000
"""Whoever has millions of pairs measures on no more, as every epoch ends with it."""

HASH_BYTES = 8
"""Of a sentence: if two others ever shared theirs, they would only be held out together."""


def held_out(source: SentenceFile) -> NDArray[np.bool_]:
    """(n,) which pairs are: pairs with one sentence to translate all are or none is, so none is known from training.

    Raises:
        InputError: there are not two different sentences, or the file has changed.
    """
    codes = np.concatenate([_codes(block) for block in source.blocks()])
    # Sentences are numbered as they come, so that the choice depends on which are equal and on nothing else.
    _, firsts, numbers, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    if len(firsts) < 2:
        raise InputError(
            f"{source.where}: has not two different sentences, and 2 are needed, one to train and one to validate on; "
            "accepted: more pairs, or data.val_source and data.val_target"
        )
    # numpy promises that the stream of `RandomState` is the same in every version.
    order = np.argsort(firsts)[np.random.RandomState(HOLDOUT_SEED).permutation(len(firsts))]
    wanted = min(MOST_HELD_OUT, max(1, round(HOLDOUT_SHARE * len(codes))))
    chosen = order[np.cumsum(counts[order]) <= wanted]
    if not len(chosen):
        chosen = order[[np.argmin(counts[order])]]
    return np.isin(numbers, chosen)


def limited(wanted: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """(n,) `limit` of the pairs that are `wanted` (n,); a larger limit keeps what a smaller one chose."""
    kept = np.zeros_like(wanted)
    kept[np.random.RandomState(LIMIT_SEED).permutation(np.flatnonzero(wanted))[:limit]] = True
    return kept


def _codes(sentences: list[str]) -> NDArray[np.uint64]:
    digests = [hashlib.blake2b(each.strip().encode(), digest_size=HASH_BYTES).digest() for each in sentences]
    return np.frombuffer(b"".join(digests), "<u8")
