"""Runs that no seed pairs: Welch's interval and test, as scipy has them; and seeds in the names of runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import minform_cli
from minform_cli.errors import InputError
from minform_cli.study.table_comparison import read_table
from minform_cli.tables.columns import parse_columns
from minform_cli.tables.names import split_run_names
from tests.cli.commands import Command

RUNS = {"baseline": [0.97, 0.975, 0.968, 0.972], "small": [0.965, 0.961, 0.966], "single": [0.9]}
WIDE = "baseline,small\n0.97,0.965\n0.975,0.961\n0.968,0.966\n0.972,\n"


def written(folder: Path, header: str = "model,accuracy,params") -> Path:
    sizes = {"baseline": 100, "small": 30}
    path = folder / "runs.csv"
    rows = [f"{name},{score},{sizes.get(name, '')}" for name, scores in RUNS.items() for score in scores]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def compared(path: Path, **asked: object) -> dict[str, dict[str, object]]:
    options = minform_cli.TableOptions(path=path, columns=parse_columns("seed="), **asked)  # type: ignore[arg-type]
    return {record["variant"]: record for record in minform_cli.compare_table(options)}  # type: ignore[misc]


@pytest.mark.parametrize("form", ["long", "wide"])
def test_interval_and_p_value_are_welchs(form: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    if form == "wide":
        path.write_text(WIDE)
    record = compared(path, better="higher")["small"]
    welch = stats.ttest_ind(RUNS["small"], RUNS["baseline"], equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert record["difference_mean"] == pytest.approx(np.mean(RUNS["small"]) - np.mean(RUNS["baseline"]), rel=1e-9)
    assert (record["difference_low"], record["difference_high"]) == pytest.approx((interval.low, interval.high))
    assert record["p_value"] == pytest.approx(welch.pvalue, rel=1e-9)
    assert record["paired"] is False and record["num_pairs"] is None and record["bootstrap_low"] is None


def test_the_verdict_is_of_that_interval_and_one_run_has_none(tmp_path: Path) -> None:
    path = written(tmp_path)
    verdicts = [compared(path, margin=margin)["small"]["not_worse"] for margin in (2.0, 0.5, 0.001)]
    interval = stats.ttest_ind(RUNS["small"], RUNS["baseline"], equal_var=False).confidence_interval(0.95)
    assert -0.02 < interval.low < -0.005 < interval.high < -0.00001
    assert verdicts == ["yes", "undecided", "no"]
    single = compared(path, margin=2.0)["single"]
    assert single["difference_mean"] == pytest.approx(0.9 - np.mean(RUNS["baseline"]))
    assert single["difference_low"] is None and single["not_worse"] is None and single["p_value"] is None


def test_equal_scores_pass_for_no_certainty(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("model,accuracy\nbaseline,0.9\nbaseline,0.9\nsmall,0.8\nsmall,0.8\n")
    record = compared(path)["small"]
    assert record["difference_mean"] == pytest.approx(-0.1)
    assert record["difference_low"] is None and record["p_value"] is None


def test_table_and_report_say_that_nothing_pairs_the_runs(tmp_path: Path, minform: Command) -> None:
    path = written(tmp_path)
    out = minform("compare", "--table", str(path), "--columns", "seed=", "--out", str(tmp_path / "out"))
    assert out.code == 0 and "Welch's 95 % t interval over runs that nothing pairs" in " ".join(out.err.split())
    assert "(number of runs)" in " ".join(out.err.split()) and "paired t" not in out.err
    page = (tmp_path / "out" / "report.html").read_text()
    assert "over runs that nothing pairs" in page and "two-sided Welch t test" in page and "paired t" not in page
    assert [row["paired"] for row in json.loads((tmp_path / "out" / "table.json").read_text())] == [False] * 3


def test_a_variant_whose_parameters_are_not_known_is_in_no_picture_and_said(tmp_path: Path, minform: Command) -> None:
    path, picture = written(tmp_path), tmp_path / "p.svg"
    out = minform("compare", "--table", str(path), "--columns", "seed=", "--plot", str(picture))
    assert out.code == 0 and "not known, and in no picture: single" in " ".join(out.err.split())
    assert ">small<" in picture.read_text() or "small" in picture.read_text()
    assert "single" not in picture.read_text()
    known = {run.variant: run.parameters for run in read_table(_unpaired(path)).runs}
    assert known == {"baseline": 100, "small": 30, "single": None}


def test_parameters_said_in_one_row_are_the_variants(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("model,seed,accuracy,params\nsmall,0,0.9,\nsmall,1,0.8,30\nsmall,2,0.8,\n")
    table = read_table(minform_cli.TableOptions(path=path))
    assert [run.parameters for run in table.runs] == [30, 30, 30]
    path.write_text("model,seed,accuracy,params\nsmall,0,0.9,31\nsmall,1,0.8,\nsmall,2,0.8,30\n")
    with pytest.raises(InputError, match="has 30 parameters, and 31 in"):
        read_table(minform_cli.TableOptions(path=path))


def _unpaired(path: Path) -> minform_cli.TableOptions:
    return minform_cli.TableOptions(path=path, columns=parse_columns("seed="))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "--table", "{}"], "or seed= where nothing pairs the runs"),
        (["power", "--table", "{}", "--columns", "seed=", "--difference", "1"], "without seeds nothing pairs its runs"),
        (["compare", "--table", "{}", "--columns", "seed=", "--examples", "{}"], "nothing tells the runs of"),
    ],
)
def test_what_needs_seeds_says_so_in_one_line(words: list[str], message: str, tmp_path: Path, minform: Command) -> None:
    path = str(written(tmp_path))
    out = minform(*(word.replace("{}", path) for word in words))
    assert out.code == 2 and out.err.count("\n") == 1 and message in out.err


def test_examples_of_one_model_a_variant_need_no_seed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    bits = {"baseline": random.random(40) < 0.9, "small": random.random(40) < 0.6}
    path = tmp_path / "e.csv"
    rows = [f"{name},{place},{int(bit)}" for name, each in bits.items() for place, bit in enumerate(each)]
    path.write_text("\n".join(["model,example,correct", *rows]) + "\n")
    options = minform_cli.TableOptions(examples=path, columns=parse_columns("seed="))
    (record,) = (each for each in minform_cli.compare_table(options) if each["variant"] == "small")
    alone = [int((bits[one] & ~bits[other]).sum()) for one, other in (("small", "baseline"), ("baseline", "small"))]
    found = record["over_examples"]["table"]
    assert found["p_mcnemar"] == pytest.approx(stats.binomtest(alone[0], sum(alone), 0.5).pvalue, rel=1e-12)


@pytest.mark.parametrize(
    ("run_names", "found"),
    [
        (["small-0", "small-1", "big-1", "big-0"], [("small", "0"), ("small", "1"), ("big", "1"), ("big", "0")]),
        (["vit-16_3", "vit-16_4", "cnn_4", "cnn_3"], [("vit-16", "3"), ("vit-16", "4"), ("cnn", "4"), ("cnn", "3")]),
        (["small-seed0", "big-seed7"], [("small", "0"), ("big", "7")]),
        (["small-0", "small-1", "big-1", "big-7"], None),
        (["fluffy-sunset-1", "brave-river-2", "calm-lake-3"], None),
        (["chain-25", "chain-50", "full"], None),
        (["run-0", "run-1", "run-2"], None),
        ([], None),
    ],
)
def test_a_number_at_the_end_is_a_seed_where_other_names_bear_it_out(
    run_names: list[str], found: list[tuple[str, str]] | None
) -> None:
    assert split_run_names(run_names) == found
