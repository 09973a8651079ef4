"""Runs out of a table are judged as our own are: the numbers are scipy's, units are said, files are written."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import minform_cli
from minform_cli.study.table_comparison import compare_runs
from minform_cli.tables.names import better
from tests.cli.commands import Command
from tests.test_imports import fresh

SIZES = {"baseline": 1000, "small": 300, "tiny": 100}


def made(seed: int = 0, num: int = 6) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    common = random.normal(0, 0.01, num)
    return {name: 0.9 - 0.004 * i + common + random.normal(0, 0.004, num) for i, name in enumerate(SIZES)}


def write(path: Path, runs: dict[str, np.ndarray], score: str = "accuracy", sized: bool = True) -> Path:
    lines = [f"model,seed,{score}{',n_params' if sized else ''}"]
    for name, values in runs.items():
        size = f",{SIZES[name]}" if sized else ""
        lines += [f"{name},{seed},{value!r}{size}" for seed, value in enumerate(map(float, values))]
    path.write_text("\n".join(lines) + "\n")
    return path


def records(path: Path, **asked: object) -> list[dict[str, object]]:
    return minform_cli.compare_table(minform_cli.TableOptions(path=path, **asked))  # type: ignore[arg-type, return-value]


def test_differences_intervals_p_values_and_holm_are_scipys(tmp_path: Path) -> None:
    runs = made()
    found = {str(record["variant"]): record for record in records(write(tmp_path / "r.csv", runs))}
    p = {name: stats.ttest_rel(runs[name], runs["baseline"]).pvalue for name in ("small", "tiny")}
    low, high = sorted(p.values())
    holm = {low: min(1.0, 2 * low), high: max(min(1.0, 2 * low), high)}
    for name in ("small", "tiny"):
        interval = stats.ttest_rel(runs[name], runs["baseline"]).confidence_interval(0.95)
        record = found[name]
        assert record["val_score_mean"] == pytest.approx(runs[name].mean(), rel=1e-12)
        assert record["val_score_std"] == pytest.approx(runs[name].std(ddof=1), rel=1e-9)
        assert record["difference_mean"] == pytest.approx((runs[name] - runs["baseline"]).mean(), rel=1e-9)
        assert (record["difference_low"], record["difference_high"]) == pytest.approx((interval.low, interval.high))
        assert record["p_value"] == pytest.approx(p[name], rel=1e-9)
        assert record["p_value_holm"] == pytest.approx(holm[p[name]], rel=1e-9)
        assert record["share_of_baseline"] == SIZES[name] / 1000
    assert found["baseline"]["difference_mean"] is None


@pytest.mark.parametrize("percent", [False, True])
@pytest.mark.parametrize(("margin", "verdict"), [(5.0, "yes"), (0.5, "undecided"), (0.01, "no")])
def test_the_margin_is_in_points_of_shares_however_they_are_written(
    percent: bool, margin: float, verdict: str, tmp_path: Path
) -> None:
    runs = {name: values * (100 if percent else 1) for name, values in made().items()}
    record = records(write(tmp_path / "r.csv", runs), margin=margin)[1]
    differences = made()["small"] - made()["baseline"]
    above, below = (
        stats.ttest_1samp(differences, -margin / 100, alternative=side).pvalue < 0.025 for side in ("greater", "less")
    )
    assert record["not_worse"] == verdict == ("yes" if above else "no" if below else "undecided")
    assert record["margin"] == pytest.approx(margin / 100)
    assert record["difference_mean"] == pytest.approx((made()["small"] - made()["baseline"]).mean(), rel=1e-9)


def test_of_losses_lower_is_better_in_verdicts_and_they_keep_their_unit(tmp_path: Path, minform: Command) -> None:
    losses = {name: 1 - values for name, values in made().items()}
    path = write(tmp_path / "r.csv", losses, "val_loss")
    accuracy, loss = records(write(tmp_path / "a.csv", made()), margin=0.5), records(path, margin=0.005)
    for one, other in zip(accuracy, loss, strict=True):
        assert (one["not_worse"], one["seeds_needed"]) == (other["not_worse"], other["seeds_needed"])
        assert other["unit"] == "" and other["better"] == "lower"
    assert loss[1]["difference_mean"] == pytest.approx(-float(str(accuracy[1]["difference_mean"])), rel=1e-9)
    shown = minform("compare", "--table", str(path), "--margin", "0.005")
    assert "point" not in shown.out + shown.err and "%" not in shown.out.replace("share %", "")
    assert "in the unit of val_loss" in shown.err and "lower is better, in its own unit" in shown.err
    swapped = minform("compare", "--table", str(path), "--margin", "0.005", "--higher-is-better", "--format", "json")
    assert json.loads(swapped.out)[1]["better"] == "higher"
    assert better("error_rate") == "lower" and better("reward") == "higher" and better("speed") is None


def test_unequal_seeds_are_paired_where_they_meet_and_it_is_said(tmp_path: Path, minform: Command) -> None:
    path = tmp_path / "r.csv"
    rows = [
        ("baseline", 3, 0.9),
        ("baseline", 1, 0.8),
        ("baseline", 7, 0.85),
        ("b", 1, 0.7),
        ("b", 9, 0.1),
        ("b", 3, 0.85),
    ]
    rows += [("lonely", 4, 0.5), ("one", 3, 0.6)]
    path.write_text("model,seed,acc\n" + "".join(f"{v},{s},{x}\n" for v, s, x in rows))
    found = {str(record["variant"]): record for record in records(path)}
    assert found["b"]["difference_mean"] == pytest.approx(((0.85 - 0.9) + (0.7 - 0.8)) / 2)
    assert (found["b"]["num_seeds"], found["b"]["num_pairs"]) == (3, 2)
    assert found["one"]["difference_mean"] == pytest.approx(-0.3) and found["one"]["difference_low"] is None
    assert found["lonely"]["difference_mean"] is None and found["lonely"]["val_score_std"] is None
    told = minform("compare", "--table", str(path)).err
    assert "b: 3 runs, 3 of baseline: the difference is over the 2 seeds of both" in told
    assert "lonely, one: one run: no spread and no interval" in told
    assert "lonely: shares no seed with baseline: no difference" in told
    assert "no shares, no Pareto front" in told
    refusal = minform("compare", "--table", str(path), "--plot", str(tmp_path / "x.svg")).refusal
    assert "draws scores over parameters" in refusal


def test_the_folder_ends_with_what_was_printed_and_a_report_that_loads_nothing(
    tmp_path: Path, minform: Command
) -> None:
    path, out = write(tmp_path / "r.csv", made()), tmp_path / "out"
    given = ["compare", "--table", str(path), "--margin", "1", "--against", "small", "--out", str(out)]
    printed = minform(*given, "--plot", str(tmp_path / "x.svg"), "--format", "json")
    assert {file.name for file in out.iterdir()} == {"table.md", "table.tex", "table.csv", "table.json", "report.html"}
    assert (out / "table.json").read_text() == printed.out
    assert [row["variant"] for row in csv.DictReader(io.StringIO((out / "table.csv").read_text()))] == list(SIZES)
    report = (out / "report.html").read_text()
    assert "Differences to small" in report and "--margin 1 --against small" in report and "<svg" in report
    assert "src=" not in report and "Learning curves" not in report and "Where the parameters are" not in report
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")
    before = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    minform(*given)
    assert {file: file.stat().st_mtime_ns for file in out.iterdir()} == before


def test_a_study_of_ours_is_never_written_over(tmp_path: Path, minform: Command) -> None:
    (tmp_path / "study.json").write_text("{}")
    path = write(tmp_path / "r.csv", made())
    assert (
        "holds a study of minform's own runs"
        in minform("compare", "--table", str(path), "--out", str(tmp_path)).refusal
    )


def test_a_table_without_a_baseline_says_how_to_name_another(tmp_path: Path, minform: Command) -> None:
    runs = made()
    path = write(tmp_path / "r.csv", {name: runs[name] for name in ("small", "tiny")})
    assert "(--against names another variant)" in minform("compare", "--table", str(path)).err
    against = minform("compare", "--table", str(path), "--against", "smal")
    assert against.refusal.startswith("--against: unknown variant 'smal'; did you mean 'small'?")
    assert records(path, reference="small")[1]["share_of_baseline"] == pytest.approx(1 / 3)


def test_the_pareto_front_of_losses_has_the_lowest(tmp_path: Path) -> None:
    from minform_cli.report.plots import pareto_front, starred

    found = compare_runs(minform_cli.TableOptions(path=write(tmp_path / "r.csv", made(), "loss")))
    assert starred(found.records) == "baseline"
    assert pareto_front([100, 300, 1000], [-1.0, -0.5, -0.7]) == [0, 1]


def test_power_takes_the_deviation_of_a_tables_paired_differences(tmp_path: Path, minform: Command) -> None:
    runs = made()
    path = write(tmp_path / "r.csv", {name: runs[name] for name in ("baseline", "small")})
    curve = json.loads(minform("power", "--table", str(path), "--difference", "0.5", "--format", "json").out)
    assert curve[0]["std"] == pytest.approx(100 * (runs["small"] - runs["baseline"]).std(ddof=1), rel=1e-9)
    assert math.isclose(curve[0]["difference"], 0.5)


def test_a_table_is_compared_without_torch(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", made())
    code = f"""
import contextlib, io, sys
from minform_cli.cli import main
for words in (["compare", "--table", {str(path)!r}, "--out", {str(tmp_path / "out")!r}, "--margin", "1"],
              ["power", "--table", {str(path)!r}, "--difference", "1"]):
    sys.argv = ["minform", *words]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main()
        except SystemExit as ended:
            assert ended.code == 0
print([name for name in ("torch", "torchvision") if name in sys.modules])
"""
    assert fresh(code) == "[]\n"
