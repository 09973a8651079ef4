"""P values and verdicts: equal to scipy and to hand-computed ones, and right as often as they claim in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from minform_cli.study import verdicts
from minform_cli.study.statistics import estimate
from minform_cli.study.verdicts import MAX_SEEDS, holm, non_inferiority, paired_p_value


def test_the_p_value_is_that_of_the_one_sample_test_on_the_differences() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=6)
    values, baseline = common + rng.normal(scale=0.1, size=6), common
    expected = stats.ttest_1samp(values - baseline, 0).pvalue
    assert paired_p_value(values, baseline) == pytest.approx(expected, rel=1e-9)  # rounding of float64
    assert paired_p_value(values, baseline) < stats.ttest_ind(values, baseline).pvalue


def test_pairs_that_say_nothing_have_no_p_value() -> None:
    assert paired_p_value([0.9], [0.8]) is None
    assert paired_p_value([0.9, 0.8], [0.8, 0.7]) is None


def test_holm_by_hand() -> None:
    # Sorted .01 x 4, .02 x 3, .03 x 2 = .06 -> not below .06, .04 x 1 -> not below .06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []


def test_holm_lies_between_nothing_and_bonferroni() -> None:
    for seed in range(50):
        p = np.random.default_rng(seed).uniform(size=5).tolist()
        for own, corrected in zip(p, holm(p), strict=True):
            assert own <= corrected <= min(1.0, 5 * own) + 1e-12  # rounding of float64


def test_holm_calls_any_of_five_equal_variants_different_in_5_percent_of_studies_at_most() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(2_000):
        baseline = rng.normal(size=5)
        p = [paired_p_value(rng.normal(size=5), baseline) for _ in range(5)]
        alarms += min(c for c in holm(p) if c is not None) < 0.05
    assert alarms / 2_000 <= 0.05 + 3 * (0.05 * 0.95 / 2_000) ** 0.5  # three standard errors


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.010, 0.011, 0.012], "yes"),
        ([-0.001, 0.000, 0.001], "yes"),
        ([-0.030, -0.031, -0.032], "no"),
        ([-0.020, 0.000, 0.020], "undecided"),
    ],
)
def test_the_verdict_follows_from_the_interval(differences: list[float], verdict: str) -> None:
    found = non_inferiority(estimate(differences), 0.005)
    assert found is not None and found.verdict == verdict


def test_seeds_that_would_decide_do_decide() -> None:
    undecided = estimate([-0.010, 0.000, 0.010])
    found = non_inferiority(undecided, 0.005)
    assert found is not None and found.verdict == "undecided" and found.seeds_needed is not None
    for seeds, decides in ((found.seeds_needed - 1, False), (found.seeds_needed, True)):
        half = stats.t.ppf(0.975, seeds - 1) * 0.010 / seeds**0.5
        assert bool(half < 0.005) is decides


def test_what_cannot_be_decided_is_said() -> None:
    found = non_inferiority(estimate([-0.015, -0.005, 0.005]), 0.005)
    assert found is not None and (found.verdict, found.seeds_needed) == ("undecided", None)
    assert non_inferiority(estimate([0.1]), 0.005) is None
    assert MAX_SEEDS == 1_000


def test_a_variant_worse_by_the_margin_is_called_not_worse_in_2_5_percent_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verdicts, "_seeds_needed", lambda *_: None)  # takes long, and changes no verdict
    rng = np.random.default_rng(2)
    said = 0
    for _ in range(4_000):
        found = non_inferiority(estimate(rng.normal(loc=-0.005, scale=0.004, size=5)), 0.005)
        said += found is not None and found.verdict == "yes"
    assert said / 4_000 <= 0.025 + 3 * (0.025 * 0.975 / 4_000) ** 0.5  # three standard errors
