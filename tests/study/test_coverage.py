"""The interval over seeds and examples holds what it promises, with variances that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from minform_cli.study.statistics import mcnemar, paired_difference, two_way_interval

SIMULATIONS = 10_000
NUM_EXAMPLES = 40

OF_REST = 0.04
"""Variance of what is neither the seed's nor the example's, about as of right and wrong answers near 98 %."""

SHARES = {"the examples": (0.0, 0.02), "both": (0.02, 0.02), "the seeds": (0.2, 0.02), "neither": (0.0, 0.0)}
"""What varies -> variance of the mean that is the seed's, as a multiple of the examples', and variance of an example.
"""


@pytest.mark.parametrize("num_seeds", [1, 3, 5, 10])
@pytest.mark.parametrize("what", SHARES)
def test_it_covers_the_truth_in_93_to_97_percent_of_10000_simulations(num_seeds: int, what: str) -> None:
    random = np.random.default_rng(num_seeds)
    ratio, of_example = SHARES[what]
    of_seed = 0.0 if num_seeds == 1 else ratio * num_seeds / NUM_EXAMPLES  # with one seed, the seed stays
    covered = 0
    for _ in range(SIMULATIONS):
        differences = (
            math.sqrt(of_seed) * random.standard_normal((num_seeds, 1))
            + math.sqrt(of_example) * random.standard_normal(NUM_EXAMPLES)
            + math.sqrt(OF_REST) * random.standard_normal((num_seeds, NUM_EXAMPLES))
        )
        interval = two_way_interval(differences)
        assert interval is not None
        covered += interval[0] <= 0 <= interval[1]
    assert 0.93 <= covered / SIMULATIONS <= 0.97  # measured: MEASURED


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_it_covers_where_answers_are_right_or_wrong(num_seeds: int) -> None:
    """Bits of two models whose examples differ in how hard they are, as real ones do."""
    random, num_examples, simulations = np.random.default_rng(0), 500, 2_000
    covered = 0
    truth = 0.0
    for _ in range(simulations):
        hard = random.beta(2, 0.2, num_examples)  # most examples are easy
        ours = random.random((num_seeds, num_examples)) < 0.98 * hard
        theirs = random.random((num_seeds, num_examples)) < hard
        interval = two_way_interval(ours.astype(float) - theirs)
        truth = -0.02 * 2 / 2.2
        covered += interval is None or interval[0] <= truth <= interval[1]
    assert 0.93 <= covered / simulations <= 0.99


def test_it_is_the_one_computed_by_hand() -> None:
    table = np.array([[0.0, 1.0, 1.0], [0.0, 1.0, -1.0]])
    # By seed 2/3 and 0, by example 0, 1, 0, mean 1/3; E var = 3 * 2/9, S var = 2 * 1/3, rest (+-1/3, +-1/3, +-2/3)
    rest = np.array([[-1 / 3, -1 / 3, 2 / 3], [1 / 3, 1 / 3, -2 / 3]])
    of_rest = float((rest**2).sum()) / 2
    t_1, t_2 = (float(stats.t.ppf(0.975, degrees)) for degrees in (1, 2))
    of_seeds, of_examples = 3 * 2 / 9, 2 / 3 - of_rest
    share = of_seeds / (of_seeds + of_examples)
    half = math.sqrt((of_seeds + of_examples) * (t_2**2 + (t_1**2 - t_2**2) * share**1.5) / 6)
    assert two_way_interval(table) == pytest.approx((1 / 3 - half, 1 / 3 + half), rel=1e-12)


def test_it_is_the_one_of_the_sums_of_squares_one_by_one() -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        table = [[float(value) for value in row] for row in random.normal(size=(4, 1)) + random.normal(size=(4, 6))]
        mean = sum(map(sum, table)) / 24
        by_seed, by_example = [sum(row) / 6 for row in table], [sum(row[e] for row in table) / 4 for e in range(6)]
        of_seeds = sum(6 * (seed - mean) ** 2 for seed in by_seed) / 3
        of_examples = sum(4 * (example - mean) ** 2 for example in by_example) / 5
        residuals = [table[s][e] - by_seed[s] - by_example[e] + mean for s in range(4) for e in range(6)]
        beyond = max(of_examples - sum(value**2 for value in residuals) / 15, 0)
        t_3, t_5 = (float(stats.t.ppf(0.975, degrees)) for degrees in (3, 5))
        share = of_seeds / (of_seeds + beyond)
        squared = max(t_3**2 * of_seeds, (of_seeds + beyond) * (t_5**2 + (t_3**2 - t_5**2) * share**1.5)) / 24
        assert two_way_interval(np.array(table)) == pytest.approx(
            (mean - math.sqrt(squared), mean + math.sqrt(squared)), rel=1e-12
        )


def test_it_is_never_narrower_than_that_over_seeds() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        ours, theirs = (random.random((2, 3, 50)) < 0.8).astype(float)
        both, seeds = two_way_interval(ours - theirs), paired_difference(ours.mean(1), theirs.mean(1))
        if both is not None and seeds.low is not None and seeds.high is not None:
            assert both[0] <= seeds.low + 1e-12 and both[1] >= seeds.high - 1e-12  # rounding of float64


def test_nothing_is_said_where_nothing_differs() -> None:
    assert two_way_interval(np.zeros((3, 10))) is None
    assert two_way_interval(np.ones((2, 1))) is None
    assert two_way_interval(np.array([[1.0, 0.0], [0.0, 1.0]])) is None  # the seeds' means are equal by chance


def test_mcnemar_counts_what_one_alone_gets_right() -> None:
    own = np.array([1] * 90 + [1] * 2 + [0] * 9 + [0] * 10)
    other = np.array([1] * 90 + [0] * 2 + [1] * 9 + [0] * 10)
    found = mcnemar(own, other)
    assert (found.only_own, found.only_other) == (2, 9)
    # Two-sided binomial of 11 with 1/2: 2 (1 + 11 + 55) / 2^11
    assert found.p_value == pytest.approx(2 * 67 / 2**11, rel=1e-12)
    assert mcnemar(own, own).p_value == 1


def test_mcnemar_is_wrong_in_no_more_than_5_percent() -> None:
    random = np.random.default_rng(2)
    pairs = random.random((2_000, 2, 300)) < 0.9
    found = [mcnemar(own, other).p_value < 0.05 for own, other in pairs]
    assert sum(found) / len(found) <= 0.05
