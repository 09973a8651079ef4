"""What may be concluded from paired differences: p values corrected for their number, and non-inferiority.

A difference that is not significant is never called none: whether a variant is "not worse" is asked with a margin
stated beforehand, and answered yes, no or undecided from the interval that the table prints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from minform_cli.report.intervals import CONFIDENCE
from minform_cli.study.statistics import Estimate, unpaired_difference

MAX_SEEDS = 1_000
"""More seeds than that are not suggested to anybody."""

Verdict = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class NonInferiority:
    """Whether a variant is not worse than the baseline by more than a margin.

    Attributes:
        verdict: `yes` if the whole interval lies above minus the margin, `no` if below, else `undecided`.
        seeds_needed: if undecided, how many seeds in all would decide it if mean and spread stayed as they are; None
            if that is more than `MAX_SEEDS` or cannot be said.
    """

    verdict: Verdict
    seeds_needed: int | None


def paired_p_value(values: ArrayLike, baseline: ArrayLike) -> float | None:
    """Two-sided p value of the paired t test; None for one pair or where all differences are equal.

    Args:
        values, baseline: shape (n,), position by position the same seed.
    """
    differences = np.asarray(values, dtype=float) - np.asarray(baseline, dtype=float)
    if len(differences) < 2 or np.allclose(differences, differences.mean(), rtol=1e-12, atol=1e-12):
        return None
    return float(stats.ttest_rel(values, baseline).pvalue)


def unpaired_p_value(values: ArrayLike, baseline: ArrayLike) -> float | None:
    """Two-sided p value of Welch's t test; None where `statistics.unpaired_difference` has no interval.

    Args:
        values, baseline: shapes (n,) and (m,).
    """
    if unpaired_difference(values, baseline).low is None:
        return None
    found: Any = stats.ttest_ind(values, baseline, equal_var=False)
    return float(found.pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p values corrected for their number, in the same order; None stays None and is not counted.

    Holm (1979), A simple sequentially rejective multiple test procedure: the k-th smallest of m is multiplied by
    m - k + 1, and none may be smaller than one before it.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[place] = largest
    return corrected


def non_inferiority(difference: Estimate, margin: float) -> NonInferiority | None:
    """The verdict on a difference; None where it has no interval (one seed, or all differences equal).

    Args:
        difference: variant minus baseline, as a fraction.
        margin: how much worse is still acceptable, as a positive fraction.
    """
    if difference.low is None or difference.high is None or difference.std is None:
        return None
    verdict = judged(difference.low, difference.high, margin)
    if verdict != "undecided":
        return NonInferiority(verdict, None)
    return NonInferiority(verdict, _seeds_needed(abs(difference.mean + margin), difference.std, difference.num))


def judged(low: float, high: float, margin: float) -> Verdict:
    """The verdict of the interval from `low` to `high` of a difference of which more is better."""
    if low > -margin:
        return "yes"
    return "no" if high < -margin else "undecided"


def _seeds_needed(distance: float, std: float, num: int) -> int | None:
    """The least number of seeds above `num` whose interval would be narrower than `distance` to either side."""
    for seeds in range(num + 1, MAX_SEEDS + 1):
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1)) * std / math.sqrt(seeds)
        if half < distance:
            return seeds
    return None
