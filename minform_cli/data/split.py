"""Which examples are held out and which are kept: the same on every machine, for every seed of a run.

Seeds are compared on one validation set. Written here because scikit-learn's splitter refuses a choice that leaves
fewer examples than there are classes, and promises no fixed result between versions; numpy promises that for the
stream of `RandomState`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HOLDOUT_SEED = 0
"""Of what is held out; never the run's seed."""

LIMIT_SEED = 1
"""Of what `data.limit` keeps; likewise."""

HOLDOUT_SHARE = 0.05
"""Of the examples of a text or of sentence pairs that come without validation examples of their own."""

HOLDOUT_BLOCK = 16
"""Sequences of a text held out side by side: most then have no neighbour that is trained on."""

MOST_HELD_OUT = 2_000
"""Whoever has millions of sentence pairs measures on no more, as every epoch ends with it."""


def stratified(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.intp]:
    """Indices of `count` examples with the classes in their own proportion, at least one of each; ascending.

    A larger `count` keeps what a smaller one chose, but for rounding between classes.

    Args:
        labels: (n,) class numbers.
        count: how many to choose, from the number of classes to n.
        seed: fixed by the caller; not the run's seed.
    """
    classes, counts = np.unique(labels, return_counts=True)
    random = np.random.RandomState(seed)
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, allocate(counts.tolist(), count), strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def allocate(counts: list[int], total: int) -> list[int]:
    """`total` shared out over classes of `counts` examples: in proportion, whole numbers, at least one each.

    The rounding goes to the largest remainders, ties to the lower class.
    """
    assert len(counts) <= total <= sum(counts), "the caller has checked the limit"
    exact = [total * count / sum(counts) for count in counts]
    shares = [max(1, int(share)) for share in exact]
    while sum(shares) < total:
        open_classes = [i for i in range(len(counts)) if shares[i] < counts[i]]
        shares[max(open_classes, key=lambda i: exact[i] - shares[i])] += 1
    while sum(shares) > total:
        open_classes = [i for i in range(len(counts)) if shares[i] > 1]
        shares[max(open_classes, key=lambda i: shares[i] - exact[i])] -= 1
    return shares


def limited(places: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """`limit` of the `places`, ascending, by chance alone; a larger limit keeps what a smaller one chose."""
    return np.sort(np.random.RandomState(LIMIT_SEED).permutation(places)[:limit])


def held_out_blocks(num: int) -> NDArray[np.int64]:
    """Which of `num` sequences of a text are validated on, ascending: whole blocks, a smaller one of a tiny text."""
    wanted = max(1, round(HOLDOUT_SHARE * num))
    block = min(HOLDOUT_BLOCK, wanted)
    blocks = np.random.RandomState(HOLDOUT_SEED).permutation(num // block)[: round(wanted / block)]
    return np.sort((blocks[:, None] * block + np.arange(block)).ravel().astype(np.int64))


def held_out_groups(codes: NDArray[np.uint64]) -> NDArray[np.bool_] | None:
    """Which of the examples with `codes` (n,) are validated on: of those with one code all are, or none is.

    None where all have the same code, so that nothing would be left to train on.
    """
    # Codes are numbered as they come, so that the choice depends on which are equal and on nothing else.
    _, firsts, numbers, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    if len(firsts) < 2:
        return None
    order = np.argsort(firsts)[np.random.RandomState(HOLDOUT_SEED).permutation(len(firsts))]
    wanted = min(MOST_HELD_OUT, max(1, round(HOLDOUT_SHARE * len(codes))))
    chosen = order[np.cumsum(counts[order]) <= wanted]
    if not len(chosen):
        chosen = order[[np.argmin(counts[order])]]
    return np.isin(numbers, chosen)
