"""What may be said about a mean over few seeds: Student's t intervals, paired by seed.

A bootstrap covers far too little at 3 to 10 values, so there is none below `BOOTSTRAP_FROM`; comparing paired runs as
if they were unpaired throws away most of what the seeds say, so nothing here does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from minform_cli.report.intervals import CONFIDENCE

BOOTSTRAP_FROM = 20
"""From so many pairs on a bootstrap interval is given beside the t interval."""

_RESAMPLES = 9_999


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


def bootstrap_interval(values: ArrayLike, baseline: ArrayLike) -> tuple[float, float] | None:
    """BCa bootstrap interval of the mean paired difference; None below `BOOTSTRAP_FROM` pairs or if all are equal.

    Args:
        values, baseline: shape (n,), position by position the same seed.
    """
    differences = np.asarray(values, dtype=float) - np.asarray(baseline, dtype=float)
    if len(differences) < BOOTSTRAP_FROM or np.allclose(differences, differences.mean(), rtol=1e-12, atol=1e-12):
        return None
    random = np.random.default_rng(0)  # the same results give the same table
    found = stats.bootstrap(
        (differences,), np.mean, n_resamples=_RESAMPLES, confidence_level=CONFIDENCE, method="BCa", rng=random
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
