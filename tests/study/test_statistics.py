"""Intervals hold what they promise at the numbers of seeds people use."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from minform_cli.report.intervals import CONFIDENCE, wilson
from minform_cli.study.statistics import (
    bootstrap_interval,
    estimate,
    paired_difference,
    t_interval,
)

SIMULATIONS = 10_000

T_2 = 0.95 * (2 / (1 - 0.95**2)) ** 0.5
"""Student's two-sided 95 % quantile at 2 degrees of freedom, 4.3027, in closed form."""


def test_an_estimate_equals_the_hand_computed_one() -> None:
    found = estimate([1.0, 2.0, 6.0])
    # mean 3, deviations -2, -1, 3: variance 14 / 2.
    half = T_2 * (7 / 3) ** 0.5
    assert (found.mean, found.num) == (3.0, 3)
    assert found.std == pytest.approx(7**0.5, rel=1e-14)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half), rel=1e-12)  # rounding of float64


def test_the_interval_is_that_of_scipys_one_sample_t_test() -> None:
    values = np.random.default_rng(0).normal(size=7)
    expected = stats.ttest_1samp(values, 0).confidence_interval(CONFIDENCE)
    found = estimate(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)  # rounding of float64


def test_nothing_is_said_about_the_spread_of_one_value() -> None:
    found = estimate([0.5])
    assert (found.mean, found.std, found.low, found.high, found.num) == (0.5, None, None, None, 1)


def test_equal_values_give_no_interval_of_width_zero() -> None:
    found = paired_difference([0.9, 0.8, 0.7], [0.91, 0.81, 0.71])  # equal up to rounding
    assert found.mean == pytest.approx(-0.01, abs=1e-12)  # rounding of float64
    assert (found.low, found.high) == (None, None)


def test_differences_are_paired() -> None:
    values, baseline = [0.91, 0.82, 0.74], [0.90, 0.80, 0.70]
    assert paired_difference(values, baseline) == estimate(np.subtract(values, baseline))
    paired = paired_difference(values, baseline)
    unpaired = stats.ttest_ind(values, baseline).confidence_interval(CONFIDENCE)
    assert paired.low is not None and paired.high is not None
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 4


@pytest.mark.parametrize("num", [3, 5, 10])
def test_intervals_cover_the_truth_in_93_to_97_percent_of_10000_simulations(num: int) -> None:
    values = np.random.default_rng(num).normal(loc=0.97, scale=0.004, size=(SIMULATIONS, num))
    low, high = t_interval(values)
    covered = np.mean((low <= 0.97) & (high >= 0.97))
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("num", [3, 5, 10])
def test_equal_models_are_called_different_in_5_percent_at_most(num: int) -> None:
    # Each seed moves both models alike (data order) and each alone; neither is better.
    generator = np.random.default_rng(100 + num)
    common = generator.normal(scale=0.01, size=(SIMULATIONS, num))
    one, other = (common + generator.normal(scale=0.004, size=(SIMULATIONS, num)) for _ in range(2))
    low, high = t_interval(one - other)
    alarms = np.mean((low > 0) | (high < 0))
    # Three standard errors of a share of 5 % in 10,000 simulations: 0.0065.
    assert alarms <= 0.05 + 0.0065


def test_the_bootstrap_is_an_extra_from_40_pairs_on_and_repeats_itself() -> None:
    random = np.random.default_rng(1)
    values, baseline = random.normal(0.9, 0.01, (2, 40))
    assert bootstrap_interval(values[:39], baseline[:39]) is None
    assert bootstrap_interval(baseline + 0.5, baseline) is None
    found = bootstrap_interval(values, baseline)
    assert found is not None and found == bootstrap_interval(values, baseline)
    given = paired_difference(values, baseline)
    assert given.low is not None and given.high is not None
    # At 40 normal values both intervals estimate the same thing: ends within a quarter of the width.
    assert found == pytest.approx((given.low, given.high), abs=0.25 * (given.high - given.low))


def test_the_binomial_interval_is_wilsons() -> None:
    # Wilson (1927) for 90 of 100: (0.9 + z2/200 -+ z sqrt(0.09/100 + z2/40000)) / (1 + z2/100), z = 1.959964.
    low, high = wilson(0.9, 100)
    z = 1.959963984540054
    middle, half = 0.9 + z**2 / 200, z * (0.09 / 100 + z**2 / 40_000) ** 0.5
    assert (low, high) == pytest.approx(((middle - half) / (1 + z**2 / 100), (middle + half) / (1 + z**2 / 100)))
    assert wilson(1.0, 10)[1] == 1.0
    assert wilson(0.0, 10)[0] == 0.0
