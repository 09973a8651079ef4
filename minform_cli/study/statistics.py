"""What may be said about a mean over few seeds: Student's t intervals, paired by seed.

A percentile bootstrap covers far too little at 3 to 10 values, and comparing paired runs as if they were unpaired
throws away most of what the seeds say; hence these two functions and no others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
"""Level of every interval of a study."""


@dataclass(frozen=True)
class Estimate:
    """Mean of some values, and what they say about it.

    Attributes:
        mean: of the values.
        std: sample standard deviation (n - 1); None for a single value.
        low, high: ends of the t interval of the mean; None for a single value, and where all values are equal:
            accuracies are multiples of one example, and chance must not pass for certainty.
        num: how many values.
    """

    mean: float
    std: float | None
    low: float | None
    high: float | None
    num: int


def estimate(values: ArrayLike) -> Estimate:
    """Mean, spread and interval of `values`, of shape (n,) with n at least 1."""
    array = np.asarray(values, dtype=float)
    num = len(array)
    mean = float(array.mean())
    if num == 1:
        return Estimate(mean, None, None, None, 1)
    std = float(array.std(ddof=1))
    if np.allclose(array, mean, rtol=1e-12, atol=1e-12):
        return Estimate(mean, std, None, None, num)
    low, high = t_interval(array)
    return Estimate(mean, std, float(low), float(high), num)


def paired_difference(values: ArrayLike, baseline: ArrayLike) -> Estimate:
    """Estimate of the mean of `values` - `baseline`, both of shape (n,), position by position the same seed."""
    return estimate(np.asarray(values, dtype=float) - np.asarray(baseline, dtype=float))


def t_interval(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the t interval of the mean along the last axis, which holds n of at least 2 independent values."""
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, values.shape[-1] - 1))
    half = quantile * stats.sem(values, axis=-1)
    mean = values.mean(axis=-1)
    return mean - half, mean + half
