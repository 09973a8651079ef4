"""How many seeds decide a question: against simulated studies, scipy's own distributions, and the command's words."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from minform_cli.errors import InputError
from minform_cli.study import power
from minform_cli.study.options import PowerOptions
from tests.cli.commands import Command

SIMULATED = 40_000
SURE = 5 * 0.5 / math.sqrt(SIMULATED)
"""Five standard errors of a simulated chance, at most."""


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("difference", [0.0, 0.4, 1.0, -1.0, 2.5])
def test_the_chance_to_find_a_difference_is_that_of_simulated_studies(seeds: int, difference: float) -> None:
    random = np.random.default_rng(seeds)
    found = stats.ttest_1samp(random.normal(difference, 1.0, (SIMULATED, seeds)), 0.0, axis=1).pvalue <= 0.05
    computed = power.finds_difference([seeds], difference, 1.0, 0.95)[0]
    assert computed == pytest.approx(found.mean(), abs=SURE)
    if difference == 0:
        assert computed == pytest.approx(0.05, abs=1e-12)  # rounding of float64


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_the_chance_to_show_not_worse_is_that_of_simulated_verdicts(seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(0.0, 1.0, (SIMULATED, seeds))
    half = stats.t.ppf(0.975, seeds - 1) * stats.sem(values, axis=1)
    shown = values.mean(axis=1) - half > -1.5
    assert power.shows_not_worse([seeds], 1.5, 1.0, 0.95)[0] == pytest.approx(shown.mean(), abs=SURE)


def test_both_are_those_of_scipys_noncentral_t_and_rise_with_seeds_to_1() -> None:
    seeds = np.arange(2, 200)
    for confidence in (0.5, 0.95, 0.999):
        critical = stats.t.ppf((1 + confidence) / 2, seeds - 1)
        for size in (0.01, 0.3, 0.6):
            shift = size * np.sqrt(seeds)
            upper, lower = stats.nct.sf(critical, seeds - 1, shift), stats.nct.cdf(-critical, seeds - 1, shift)
            finds = power.finds_difference(seeds, 3 * size, 3.0, confidence)
            assert finds == pytest.approx(upper + np.nan_to_num(lower), abs=1e-9)
            assert power.shows_not_worse(seeds, 3 * size, 3.0, confidence) == pytest.approx(upper, abs=1e-9)
        for size in np.geomspace(1e-9, 1e9, 60):
            for chances in (
                power.finds_difference(seeds, size, 1.0, confidence),
                power.shows_not_worse(seeds, size, 1.0, confidence),
            ):
                assert np.isfinite(chances).all() and chances.max() <= 1 + 1e-12
                assert np.diff(chances).min() > -1e-9  # rounding of float64
    assert power.finds_difference([2], 1e9, 1.0, 0.95) == 1


def test_the_seeds_that_are_enough_are_the_least() -> None:
    for options in (
        PowerOptions(difference=0.5, std=0.3),
        PowerOptions(margin=0.3, std=0.3),
        PowerOptions(difference=0.5, margin=0.3, std=0.3, power=0.95, confidence=0.9),
    ):
        found = power.find_power(options)
        assert found.seeds is not None
        by_seeds = {record["seeds"]: record["enough"] for record in found.records}
        assert by_seeds[found.seeds] and not any(by_seeds[seeds] for seeds in by_seeds if seeds < found.seeds)
        assert not power._enough(np.array([found.seeds - 1]), found.spread.std, options)[0]  # pyright: ignore
    assert power.find_power(PowerOptions(difference=1e-9, std=1)).seeds is None


def test_a_correlation_within_pairs_narrows_their_differences_as_variances_add_up() -> None:
    for correlation in (-0.5, 0.0, 0.6, 0.99):
        found = power.find_power(PowerOptions(difference=1, std=0.3, paired_correlation=correlation))
        variance = np.array([1, -1]) @ np.array([[0.09, 0.09 * correlation], [0.09 * correlation, 0.09]]) @ [1, -1]
        assert found.spread.std == pytest.approx(math.sqrt(variance), rel=1e-12)


def test_the_intervals_of_deviations_hold_95_percent_of_simulated_ones() -> None:
    for number in (3, 10):
        stds = np.random.default_rng(number).normal(0.0, 2.0, (SIMULATED // 10, number)).std(axis=1, ddof=1)
        ends = [power.Spread("", std, number - 1).interval(0.95) for std in stds]
        assert np.mean([low <= 2.0 <= high for low, high in ends if low]) == pytest.approx(0.95, abs=0.02)


def test_the_average_half_width_is_that_of_simulated_intervals() -> None:
    records = power.find_power(PowerOptions(difference=0.5, std=math.sqrt(0.5))).records  # differences deviate by 1
    for record in records[:3]:
        values = np.random.default_rng(1).normal(0.0, 1.0, (SIMULATED, record["seeds"]))
        half = stats.t.ppf(0.975, record["seeds"] - 1) * stats.sem(values, axis=1)
        assert record["half_width"] == pytest.approx(half.mean(), rel=0.03)  # heavy tails with two seeds


def test_variants_are_pooled_by_their_degrees_of_freedom_and_equal_differences_left_out() -> None:
    spreads = power.spreads_of({"a": [1.0, 2.0, 3.0], "b": [0.0, 4.0], "same": [1.0, 1.0], "one": [5.0]}, "x")
    assert [(spread.name, spread.std, spread.freedom) for spread in spreads] == [("a", 1.0, 2), ("b", 8**0.5, 1)]
    assert power.pooled(spreads).std == pytest.approx(math.sqrt((2 * 1 + 1 * 8) / 3), rel=1e-12)
    with pytest.raises(InputError, match="x: no variant shares two seeds with the reference"):
        power.spreads_of({"same": [1.0, 1.0], "one": [5.0]}, "x")


def test_the_command_says_how_many_and_draws_it(minform: Command, tmp_path: Path) -> None:
    given = ["power", "--difference", "0.5", "--std", "0.3"]
    outcome = minform(*given, "--plot", str(tmp_path / "power.svg"))
    assert outcome.code == 0
    assert "8 seeds of each variant are enough to find a difference of 0.5 with a chance of 80 %." in outcome.err
    assert "correlation of 0 of pairs, as nothing else is known" in outcome.err
    assert (tmp_path / "power.svg").read_text().startswith("<?xml")
    records = json.loads(minform(*given, "--format", "json").out)
    assert next(record["seeds"] for record in records if record["enough"]) == 8
    assert minform(*given, "-q").err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "power: nothing says how much seeds differ; accepted: one of --std, --from"),
        (["--std", "1", "--from", "x"], "--std and --from: say the same; accepted: one of"),
        (["--std", "1"], "power: nothing says what is to be found; accepted: --difference, --margin, or both"),
        (["--std", "0", "--difference", "1"], "--std: expected a number above 0, not 0"),
        (["--std", "nan", "--difference", "1"], "--std: expected a number above 0, not nan"),
        (["--std", "1", "--difference", "-1"], "--difference: expected a number above 0, not -1"),
        (["--std", "1", "--difference", "1", "--power", "80"], "--power: expected a fraction between 0 and 1, not 80"),
        (["--std", "1", "--margin", "1", "--confidence", "1"], "--confidence: expected a fraction between 0 and 1"),
        (["--std", "1", "--margin", "1", "--paired-correlation", "1"], "--paired-correlation: expected a number from"),
        (["--from", "x", "--margin", "1", "--paired-correlation", "0.5"], "--paired-correlation 0.5: the runs say it"),
        (["--from", "nowhere", "--margin", "1"], "nowhere is not a study's folder"),
        (["--std", "1", "--margin", "1", "--plot", "x.bmp"], "--plot x.bmp: unknown suffix '.bmp'"),
    ],
)
def test_a_wrong_question_gets_one_line(arguments: list[str], message: str, minform: Command) -> None:
    assert minform("power", *arguments).refusal.startswith(message)
