"""Grids, study files and the dry run of `compare`, from the command line to what is printed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from minform_cli.config.names import study_names
from minform_cli.training import timing
from tests.cli.commands import TINY, Command

SWEPT = [*TINY, "--variant", "baseline", "--variant", "minimal", "--seeds", "1", "--grid", "model.heads=1,2"]


def test_a_grid_is_trained_listed_and_printed_point_by_point(minform: Command, tmp_path: Path) -> None:
    arguments = ["compare", *SWEPT, "--out", str(tmp_path / "study"), "--jobs", "1", "--device", "cpu"]
    listed = json.loads(minform(*arguments, "--dry-run", "--format", "json").out)
    assert [record["state"] for record in listed] == ["to do"] * 4
    assert list(tmp_path.iterdir()) == []

    trained = minform(*arguments, "--format", "json")
    records = json.loads(trained.out)
    assert [(record["variant"], record["grid"]) for record in records] == [
        (variant, {"model.heads": heads}) for heads in (1, 2) for variant in ("baseline", "minimal")
    ]
    for baseline, minimal in (records[:2], records[2:]):
        assert minimal["difference_mean"] == minimal["val_score_mean"] - baseline["val_score_mean"]
        assert minimal["share_of_baseline"] == minimal["parameters"] / baseline["parameters"]
    assert "minimal, heads=2, seed 0: val" in trained.err
    assert (tmp_path / "study" / "minimal" / "model.heads=2" / "seed-0" / "result.json").is_file()

    rows = list(csv.DictReader(io.StringIO(minform(*arguments, "--format", "csv", "-q").out)))
    assert [row["grid.model.heads"] for row in rows] == ["1", "1", "2", "2"]
    table = minform(*arguments, "--format", "markdown")
    header = [cell.strip() for cell in table.out.splitlines()[0].strip("|").split("|")]
    assert header[:3] == ["variant", "heads", "parameters"]
    assert [line.split("|")[2].strip() for line in table.out.splitlines()[2:]] == ["1", "1", "2", "2"]
    assert "Grid: model.heads 1, 2." in table.err

    more = [*arguments, "--seeds", "2", "--dry-run"]
    outcome = minform(*more)
    assert [" finished " in line for line in outcome.out.splitlines()[1:]] == [True, False] * 4
    assert "8 runs: 4 finished, 4 to do. Nothing was written." in outcome.err


def test_what_makes_no_model_is_left_out_and_said(minform: Command, tmp_path: Path) -> None:
    given = ["compare", *TINY, "--variant", "minimal", "--grid", "model.heads=2,3", "--seeds", "1", "--dry-run"]
    outcome = minform(*given, "--out", str(tmp_path / "study"))
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 2
    assert "minimal, heads=3 left out: model.heads 3 does not divide model.dim 16" in outcome.err


def test_records_without_a_grid_have_an_empty_one_and_csv_no_column(minform: Command, tmp_path: Path) -> None:
    arguments = ["compare", *TINY, "--variant", "minimal", "--seeds", "1", "--out", str(tmp_path), "-q", "--jobs", "1"]
    (record,) = json.loads(minform(*arguments, "--format", "json").out)
    assert record["grid"] == {}
    assert "grid" not in minform(*arguments, "--format", "csv").out
    assert (tmp_path / "minimal" / "seed-0" / "result.json").is_file()
    assert json.loads((tmp_path / "study.json").read_text())["runs"][0]["folder"] == "minimal/seed-0"


def test_a_study_file_is_run_with_options_over_it(minform: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("preset: debug\nvariants: [minimal]\nseeds: [7]\ngrid:\n  model.depth: [1, 2]\n")
    listed = minform("compare", "--study", str(path), "--dry-run", "--format", "json", "--out", str(tmp_path / "out"))
    assert [(r["variant"], r["grid"], r["seed"]) for r in json.loads(listed.out)] == [
        ("minimal", {"model.depth": 1}, 7),
        ("minimal", {"model.depth": 2}, 7),
    ]
    over = ["--set", "model.depth=3", "--variant", "no-mlp", "--seeds", "1"]
    listed = minform("compare", "--study", str(path), *over, "--dry-run", "--format", "json")
    assert [(r["variant"], r["grid"], r["seed"]) for r in json.loads(listed.out)] == [("no-mlp", {}, 0)]


@pytest.mark.parametrize("name", [name for name in study_names() if name.startswith("paper-")])
def test_shipped_studies_are_listed_without_their_data(
    name: str, minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path / "none"))
    monkeypatch.setattr(timing, "time_run", lambda *_, **__: timing.Speed(0.5, 1.0, 2, 3))  # not what this is about
    outcome = minform("compare", "--study", name, "--seeds", "1", "--dry-run", "--format", "json")
    assert [run["seconds"] for run in json.loads(outcome.out)] == [6.0] * 8


def test_a_study_of_sentences_is_timed_on_them_and_says_where_they_are_missing(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path / "none"))
    outcome = minform("compare", "--study", "anthe-ablation", "--dry-run")
    assert (outcome.code, outcome.out) == (2, "")
    assert "data.path: Multi30k is not below MINFORM_DATA" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "model.heads"], "--grid 'model.heads': expected key=value,value"),
        (["--grid", "model.haeds=1"], "--grid: unknown key 'model.haeds'; did you mean 'model.heads'?"),
        (["--grid", "model.heads=1", "--set", "model.heads=1"], "--grid model.heads: is set by --set, too"),
        (["--study", "paper-tabel1-mnist"], "--study: unknown study 'paper-tabel1-mnist'; did you mean 'paper-table1-"),
        (["--study", "absent.yaml"], "absent.yaml: cannot be read"),
        (["--dry-run", "--plot", "a.png"], "--plot: --dry-run has no results to draw"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(arguments: list[str], message: str, minform: Command) -> None:
    assert minform("compare", *arguments).refusal.startswith(message)


def test_completion_offers_studies_and_keys_of_a_grid(minform: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MINFORM_COMPLETE", "complete_bash")
    for line, offered in (
        ("minform compare --study ", list(study_names())),
        ("minform compare --grid model.hea", ["model.heads=", "model.head_width="]),
    ):
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        assert minform().out.split() == offered


def test_seeds_are_stacked_on_a_cpu_only_where_that_is_asked_for(minform: Command, tmp_path: Path) -> None:
    asked = [
        "compare",
        *TINY,
        "--variant",
        "minimal",
        "--seeds",
        "2",
        "--out",
        str(tmp_path / "study"),
        "--device",
        "cpu",
    ]
    said = minform(*asked, "--stack-seeds").refusal
    assert "on a CPU it does not pay" in said
    assert "--stack-anyway" in said
    assert "on a CPU it does not pay" in minform(*asked, "--stack-seeds", "--dry-run").refusal
    assert not (tmp_path / "study").exists()
    assert "trained as one model" in minform(*asked, "--stack-anyway", "--dry-run").err
    found = minform(*asked, "--stack-anyway")
    assert found.code == 0
    assert "2 seeds stacked" in found.err
