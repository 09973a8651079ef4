"""Figures of a comparison against hand-computed ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from minform_cli.counting.records import CountRecord
from minform_cli.errors import InputError
from minform_cli.report.records import CompareRecord
from minform_cli.runs.examples import ExampleScores, RunExamples, ScoreName
from minform_cli.runs.records import ResultRecord
from minform_cli.study.plan import plan_study
from minform_cli.study.summary import count_plan, summarise
from tests.report.records import NAMES, count_record, result_record
from tests.study.test_statistics import T_2


def counts(*variants: str) -> list[CountRecord]:
    return [count_record(NAMES.index(variant)) for variant in variants]


def test_means_spreads_and_paired_differences() -> None:
    results = [result_record("baseline", seed, value) for seed, value in enumerate((0.90, 0.94, 0.98))]
    # Out of order, to see that pairing goes by seed: differences -0.01, -0.02, -0.03 for the seeds 0, 1, 2.
    results += [result_record("minimal", seed, value) for seed, value in ((2, 0.95), (0, 0.89), (1, 0.92))]
    baseline, minimal = summarise(counts("baseline", "minimal"), results)
    assert [record["variant"] for record in (baseline, minimal)] == ["baseline", "minimal"]
    assert baseline["num_seeds"] == 3
    assert baseline["val_score_mean"] == pytest.approx(0.94, rel=1e-12)  # rounding of float64, as below
    assert baseline["val_score_std"] == pytest.approx(0.04, rel=1e-12)
    assert baseline["difference_mean"] is None and baseline["difference_low"] is None
    assert minimal["difference_mean"] == pytest.approx(-0.02, rel=1e-12)
    half = T_2 * 0.01 / 3**0.5
    assert minimal["difference_low"] == pytest.approx(-0.02 - half, rel=1e-9)
    assert minimal["difference_high"] == pytest.approx(-0.02 + half, rel=1e-9)
    assert minimal["train_loss_mean"] == pytest.approx(1.1, rel=1e-12)
    assert minimal["train_loss_std"] == pytest.approx(1.0, rel=1e-12)
    assert minimal["seconds_per_epoch_mean"] == pytest.approx(2.0, rel=1e-12)
    assert minimal["test_score_mean"] == pytest.approx(0.96, rel=1e-12)
    assert set(minimal) | {"grid"} == CompareRecord.__required_keys__ | CompareRecord.__optional_keys__


def test_only_seeds_of_both_enter_the_difference() -> None:
    results = [result_record("baseline", 1, 0.9), result_record("minimal", 0, 0.5), result_record("minimal", 1, 0.8)]
    _, minimal = summarise(counts("baseline", "minimal"), results)
    assert minimal["difference_mean"] == pytest.approx(-0.1, rel=1e-12)  # rounding of float64
    assert minimal["difference_low"] is None
    assert minimal["num_seeds"] == 2


def test_without_the_baseline_there_is_no_difference() -> None:
    (minimal,) = summarise(counts("minimal"), [result_record("minimal")])
    assert minimal["difference_mean"] is None
    assert minimal["val_score_std"] is None
    assert minimal["share_of_baseline"] == 30602 / 302474


def test_a_preset_validated_on_the_test_set_has_no_test_accuracy() -> None:
    (record,) = summarise(counts("baseline"), [result_record(validation="test")])
    assert record["test_score_mean"] is None and record["test_score_std"] is None


def test_shares_refer_to_the_baseline_with_the_same_settings_even_where_it_is_not_trained(tmp_path: Path) -> None:
    settings = ["model.dim=32", "model.heads=1"]
    (minimal,) = count_plan(plan_study(tmp_path, "debug", ["minimal"], [5, 6], settings))
    (baseline,) = count_plan(plan_study(tmp_path, "debug", ["baseline"], [0], settings))
    assert baseline["share_of_baseline"] == 1
    assert minimal["share_of_baseline"] == minimal["parameters"] / baseline["parameters"]


def test_p_values_are_corrected_and_verdicts_given_where_a_margin_is() -> None:
    results = [result_record("baseline", seed, value) for seed, value in enumerate((0.90, 0.94, 0.98))]
    results += [result_record("minimal", seed, value) for seed, value in enumerate((0.89, 0.92, 0.95))]
    results += [result_record("no-mlp", seed, value) for seed, value in enumerate((0.91, 0.93, 0.98))]
    baseline, no_mlp, minimal = summarise(counts("baseline", "no-mlp", "minimal"), results, margin=0.06)
    assert baseline["p_value"] is None and baseline["p_value_holm"] is None and baseline["not_worse"] is None
    assert minimal["p_value"] == pytest.approx(stats.ttest_rel([0.89, 0.92, 0.95], [0.90, 0.94, 0.98]).pvalue)
    assert minimal["p_value_holm"] == pytest.approx(2 * (minimal["p_value"] or 0))
    assert no_mlp["p_value"] == no_mlp["p_value_holm"] == pytest.approx(1.0)
    # minimal: -0.02 +- 4.3027 x 0.01 / sqrt(3) = [-0.0448, 0.0048], above -0.06.
    assert (minimal["margin"], minimal["not_worse"], minimal["seeds_needed"]) == (0.06, "yes", None)
    assert [r["not_worse"] for r in summarise(counts("baseline", "minimal"), results)] == [None, None]


def test_differences_may_refer_to_another_variant() -> None:
    results = [result_record("baseline", seed, value) for seed, value in enumerate((0.90, 0.94, 0.98))]
    results += [result_record("minimal", seed, value) for seed, value in enumerate((0.89, 0.92, 0.95))]
    baseline, minimal = summarise(counts("baseline", "minimal"), results, reference="minimal")
    assert (baseline["reference"], minimal["reference"]) == ("minimal", "minimal")
    assert minimal["difference_mean"] is None
    assert baseline["difference_mean"] == pytest.approx(0.02, rel=1e-12)
    assert minimal["share_of_baseline"] < 1  # shares stay the baseline's
    with pytest.raises(InputError, match="--against: unknown variant 'minimla'; did you mean 'minimal'"):
        summarise(counts("baseline", "minimal"), results, reference="minimla")


def curved(variant: str, seed: int, scores: Sequence[float], heads: int | None = None) -> ResultRecord:
    """A run validated every 100 steps."""
    record = result_record(variant, seed, scores[-1])
    record["curve"] = [[100 * epoch, score] for epoch, score in enumerate(scores, 1)]
    if heads is not None:
        record["grid"] = {"model.heads": heads}
    return record


def at(variant: str, heads: int) -> CountRecord:
    """The count of a row of a grid."""
    record = count_record(NAMES.index(variant))
    record["grid"] = {"model.heads": heads}
    return record


def test_steps_to_95_are_those_to_the_first_score_near_the_best_final_one() -> None:
    # The best final mean is 0.8: 0.76 is near, exactly so in the last run, however the score goes on from there.
    results = [curved("baseline", 0, (0.2, 0.77, 0.5, 0.8)), curved("baseline", 1, (0.2, 0.3, 0.7599, 0.8))]
    results += [curved("minimal", 0, (0.75, 0.7, 0.77, 0.7)), curved("minimal", 1, (0.95 * 0.8, 0.1, 0.1, 0.7))]
    baseline, minimal = summarise(counts("baseline", "minimal"), results)
    assert baseline["val_score_mean"] == pytest.approx(0.8)
    assert baseline["steps_to_95"] == (200 + 400) / 2
    assert minimal["steps_to_95"] == (300 + 100) / 2


def test_there_are_no_steps_to_95_where_a_seed_never_got_there() -> None:
    results = [curved("baseline", seed, (0.5, 0.9)) for seed in (0, 1)]
    results += [curved("minimal", 0, (0.9, 0.9)), curved("minimal", 1, (0.8, 0.8549))]
    baseline, minimal = summarise(counts("baseline", "minimal"), results)
    assert (baseline["steps_to_95"], minimal["steps_to_95"]) == (200, None)


def test_steps_to_95_refer_to_the_best_row_whichever_it_is() -> None:
    results = [curved("baseline", 0, (0.4, 0.5, 0.5)), curved("minimal", 0, (0.4, 0.6, 0.9))]
    baseline, minimal = summarise(counts("baseline", "minimal"), results)
    assert (baseline["steps_to_95"], minimal["steps_to_95"]) == (None, 300)


def test_each_grid_point_has_its_own_best_row_for_steps_to_95() -> None:
    results = [curved("baseline", 0, (0.3, 0.4), heads=1), curved("minimal", 0, (0.39, 0.39), heads=1)]
    results += [curved("baseline", 0, (0.1, 0.9), heads=2), curved("minimal", 0, (0.4, 0.4), heads=2)]
    rows = [at(variant, heads) for heads in (1, 2) for variant in ("baseline", "minimal")]
    assert [record["steps_to_95"] for record in summarise(rows, results)] == [200, 100, 200, None]


def examples_of(*results: ResultRecord, score: ScoreName = "right") -> dict[str, RunExamples]:
    """Of each run the answers to sixteen examples; those of the seed's and of the variant's number are wrong."""
    found: dict[str, RunExamples] = {}
    for result in results:
        values = np.ones(16, dtype=np.float32)
        values[[result["seed"], 4 + NAMES.index(result["variant"])]] = 0
        found[result["weights_sha256"]] = RunExamples("0", {"val": ExampleScores(score, values)})
    return found


def named(variant: str, seed: int) -> ResultRecord:
    result = result_record(variant, seed, 0.75)
    result["weights_sha256"] = f"{variant} {seed}"
    return result


def test_rows_are_paired_over_the_examples_of_the_seeds_of_both() -> None:
    results = [named("baseline", seed) for seed in (0, 1, 2)] + [named("minimal", seed) for seed in (2, 1)]
    known = examples_of(*results[1:])  # that of the baseline's first seed is lost
    baseline, minimal = summarise(counts("baseline", "minimal"), results, 0.5, examples=known)
    assert baseline["over_examples"] == {}
    (found,) = minimal["over_examples"].values()
    assert (found["score"], found["num_seeds"], found["num_examples"]) == ("right", 2, 16)
    assert found["difference_mean"] == 0 and found["low"] is None  # equal means of the seeds are chance
    assert found["p_mcnemar"] is None


def test_two_single_runs_are_told_apart_by_mcnemar() -> None:
    results = [named("baseline", 0), named("minimal", 0)]
    _, minimal = summarise(counts("baseline", "minimal"), results, 0.9, examples=examples_of(*results))
    found = minimal["over_examples"]["val"]
    assert (found["only_own"], found["only_reference"], found["p_mcnemar"]) == (1, 1, 1.0)
    # Differences +1, -1 and fourteen times 0: variance 2 / 15 a difference.
    half = float(stats.t.ppf(0.975, 15)) * (2 / 15 / 16) ** 0.5
    assert (found["low"], found["high"]) == pytest.approx((-half, half), rel=1e-12)
    assert found["not_worse"] == "yes"


def test_scores_of_examples_that_are_not_the_metric_are_not_judged_by_its_margin() -> None:
    results = [named("baseline", 0), named("minimal", 0)]
    known = examples_of(*results, score="chrF2")
    _, minimal = summarise(counts("baseline", "minimal"), results, 0.9, examples=known)
    assert minimal["over_examples"]["val"]["not_worse"] is None
