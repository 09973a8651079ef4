"""Stratified choices that never change: the same examples on every machine, for every seed of a run.

Written here because scikit-learn's splitter refuses a choice that leaves fewer examples than there are classes, and
promises no fixed result between versions; numpy promises that for the stream of `RandomState`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.images.pixels import Labels


def stratified(labels: Labels, count: int, seed: int) -> NDArray[np.intp]:
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
