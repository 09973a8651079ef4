"""What may be said about a mean over few seeds: Student's t intervals, paired by seed; and over examples, too.

A bootstrap covers far too little at 3 to 10 values, so there is none below `BOOTSTRAP_FROM`; comparing paired runs as
if they were unpaired throws away most of what the seeds say, so nothing here does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from minform_cli.report.intervals import CONFIDENCE

BOOTSTRAP_FROM = 40
"""From so many pairs on a bootstrap interval is given beside the t interval; below, it covers 92 to 93 %."""

_RESAMPLES = 9_999

_SHARE_TO = 1.5
"""Power of the seeds' share of the variance. Chosen by the coverage, integrated over the chi-squared distribution of
the seeds' mean square with many examples (`python benchmarks/coverage.py`): from 95.0 to 97.8 % at two seeds, 96.4 at
three, 95.7 at five and 95.3 at ten, whatever the true share; 1 goes up to 98.7, 97.7, 96.6 and 95.7."""


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


@cache
def _quantile(degrees: int) -> float:
    """Student's, of the two-sided interval."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))


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


def unpaired_difference(values: ArrayLike, baseline: ArrayLike) -> Estimate:
    """Estimate of the mean of `values` less that of `baseline`, of shapes (n,) and (m,), runs that nothing pairs.

    Welch (1947), Biometrika 34, 28-35. `std` is the deviation of the difference of one run of each, `num` the lesser of
    n and m. No interval where either is a single value, or all values of both are equal to their means.
    """
    own, other = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    mean, num = float(own.mean() - other.mean()), min(len(own), len(other))
    if num == 1:
        return Estimate(mean, None, None, None, num)
    std = math.sqrt(own.var(ddof=1) + other.var(ddof=1))
    if all(np.allclose(each, each.mean(), rtol=1e-12, atol=1e-12) for each in (own, other)):
        return Estimate(mean, std, None, None, num)
    found = stats.ttest_ind(own, other, equal_var=False).confidence_interval(CONFIDENCE)
    return Estimate(mean, std, float(found.low), float(found.high), num)


def t_interval(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the t interval of the mean along the last axis, which holds n of at least 2 independent values."""
    half = _quantile(values.shape[-1] - 1) * stats.sem(values, axis=-1)
    mean = values.mean(axis=-1)
    return mean - half, mean + half


def two_way_interval(differences: NDArray[np.float64]) -> tuple[float, float] | None:
    """Interval of the mean difference where both the seed and the examples are drawn anew.

    The model is a mean, an effect of the seed, an effect of the example, and the rest: the variance of the mean over S
    seeds and E examples is a / S + b / E + c / (S E), of which the mean squares of the two-way layout estimate
    a / S + c / (S E) with S - 1 degrees of freedom and b / E with about E - 1. The half is t sqrt(sum of both) with
    t^2 = t_E^2 + (t_S^2 - t_E^2) r^`_SHARE_TO`, r the first's share of the sum, and never less than that of the
    interval over seeds alone. With r to the first this is Howe's (1974, Journal of the American Statistical
    Association 69, 789-794), which covers up to 97.7 % at three seeds; Satterthwaite's holds 92 to 94 % there.

    Args:
        differences: (S, E) of the same seeds and examples. With one seed only the examples vary.

    Returns:
        Its ends; None for one example, and where the means of all seeds, or all differences, are equal: as `estimate`.
    """
    num_seeds, num_examples = differences.shape
    mean, by_seed, by_example = float(differences.mean()), differences.mean(1), differences.mean(0)
    if num_examples < 2 or np.allclose(differences, mean, rtol=1e-12, atol=1e-12):
        return None
    of_examples = num_seeds * float(by_example.var(ddof=1))  # the mean squares
    t_examples = _quantile(num_examples - 1)
    if num_seeds == 1:
        half = t_examples * math.sqrt(of_examples / num_examples)
        return mean - half, mean + half
    if np.allclose(by_seed, mean, rtol=1e-12, atol=1e-12):
        return None
    of_seeds = num_examples * float(by_seed.var(ddof=1))
    rest = differences - by_seed[:, None] - by_example + mean
    of_rest = float((rest * rest).sum()) / ((num_seeds - 1) * (num_examples - 1))
    t_seeds = _quantile(num_seeds - 1)
    both = of_seeds + max(of_examples - of_rest, 0.0)
    squared = t_examples**2 + (t_seeds**2 - t_examples**2) * (of_seeds / both) ** _SHARE_TO
    half = math.sqrt(max(squared * both, t_seeds**2 * of_seeds) / (num_seeds * num_examples))
    return mean - half, mean + half


@dataclass(frozen=True)
class Discordant:
    """Examples that one of two models alone gets right, and the two-sided p value of McNemar's exact test."""

    only_own: int
    only_other: int
    p_value: float


def mcnemar(own: ArrayLike, other: ArrayLike) -> Discordant:
    """Whether two models, seeds and all, are right on equally many examples.

    McNemar (1947), Psychometrika 12, 153-157; exact: of the examples that one alone gets right, binomial with 1/2.

    Args:
        own, other: (n,) of 0 and 1, position by position the same example.
    """
    first, second = np.asarray(own).astype(bool), np.asarray(other).astype(bool)
    only_own, only_other = int((first & ~second).sum()), int((~first & second).sum())
    num = only_own + only_other
    p_value = float(stats.binomtest(only_own, num, 0.5).pvalue) if num else 1.0
    return Discordant(only_own, only_other, p_value)


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
