"""A study grows by seeds, variants and grid points, and refuses what does not belong to it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from minform_cli.errors import InputError
from minform_cli.files import RunFolder, read_json, write_json
from minform_cli.runs import folder as run_folder
from minform_cli.study import comparison
from minform_cli.study.extension import register
from minform_cli.study.options import StudyOptions
from minform_cli.study.plan import Plan, plan_study
from minform_cli.study.record import read_record
from minform_cli.study.stored import read_study_folder
from tests.report.records import result_record
from tests.runs.made_up import data_of


def begin(plan: Plan, *, finished: bool = True, fingerprint: str = "0", minform: str = "0") -> None:
    """Writes the plan and makes its runs look begun, or finished."""
    register(plan.out, plan.record())
    for run in plan.runs:
        if run.begun:
            continue
        run.folder.mkdir(parents=True)
        run_folder.begin(RunFolder(run.folder), run.config, data_of(run.config, fingerprint), {})
        if finished:
            result = result_record(run.config.variant, run.config.seed)
            write_json(RunFolder(run.folder).result, result | {"minform": minform})


def test_seeds_variants_and_grid_points_join_what_is_there(tmp_path: Path) -> None:
    begin(plan_study(tmp_path, "debug", ["baseline"], [0, 1]))
    begin(plan_study(tmp_path, "debug", ["baseline", "minimal"], [0, 1, 2]))
    begin(plan_study(tmp_path, "debug", ["no-mlp"], [0], grid={}))
    record = read_record(tmp_path)
    assert (record.variants, record.seeds) == (["baseline", "minimal", "no-mlp"], [0, 1, 2])
    assert len(record.runs) == 3 + 3 + 1
    assert len({run.folder for run in record.runs}) == 7
    stored = read_study_folder(tmp_path)
    assert [count["variant"] for count in stored.counts()] == ["baseline", "minimal", "no-mlp"]
    assert len(stored.results) == 7


def test_what_was_asked_for_but_never_begun_is_forgotten(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", ["symmetric"], [7])
    register(tmp_path, plan.record())
    begin(plan_study(tmp_path, "debug", ["baseline"], [0]))
    assert [run.variant for run in read_record(tmp_path).runs] == ["baseline"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.epochs=9"], "holds another study: train.epochs is"),
        (["model.dim=32"], "holds another study: model.dim is"),
        (["data.limit=50"], "holds another study: data.limit is 200 there and 50 here"),
    ],
)
def test_another_recipe_is_refused_even_where_no_run_is_shared(
    settings: list[str], message: str, tmp_path: Path
) -> None:
    begin(plan_study(tmp_path, "debug", ["baseline"], [0]))
    with pytest.raises(InputError, match=message):
        plan_study(tmp_path, "debug", ["minimal"], [5], settings)


def test_what_is_swept_may_differ(tmp_path: Path) -> None:
    options = StudyOptions(preset="debug", variants=["baseline"], seeds=1, out=tmp_path)
    begin(comparison.plan_comparison(options))
    plan = comparison.plan_comparison(replace(options, grid=["model.depth=1,3"]))
    assert [run.grid for run in plan.runs] == [{"model.depth": 1}, {"model.depth": 3}]
    begin(plan)
    assert [run.grid for run in read_record(tmp_path).runs] == [{}, {"model.depth": 1}, {"model.depth": 3}]


def test_runs_of_other_data_are_refused_before_and_after(tmp_path: Path) -> None:
    begin(plan_study(tmp_path, "debug", ["baseline"], [0], []))
    plan = plan_study(tmp_path, "debug", ["baseline"], [0, 1])
    assert plan.fingerprint == "0"
    begin(plan, fingerprint="1" * 64)
    with pytest.raises(InputError, match="made with other data than"):
        plan_study(tmp_path, "debug", ["baseline"], [0, 1])
    result = read_json(tmp_path / "baseline/seed-1/result.json", "result")
    result["data"]["fingerprint"] = "1" * 64
    write_json(tmp_path / "baseline/seed-1/result.json", result)
    with pytest.raises(InputError, match="baseline, seed 1: made with other data"):
        read_study_folder(tmp_path)


def test_other_data_are_refused_by_a_dry_run_too(tmp_path: Path) -> None:
    begin(plan_study(tmp_path, "debug", ["baseline"], [0]))
    plan = plan_study(tmp_path, "debug", ["baseline", "minimal"], [0])
    with pytest.raises(InputError, match=r"the data differ from those the study was made with: fingerprint 0\.\.\."):
        comparison.check_plan(plan)


def test_another_minform_version_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(plan_study(tmp_path, "debug", ["baseline"], [0, 1]))
    assert plan_study(tmp_path, "debug", ["baseline"], [0, 1]).notes() == []
    assert "2 of 2 runs were made by minform 0," in " ".join(read_study_folder(tmp_path).notes)
    monkeypatch.setattr("minform_cli.study.plan.__version__", "99")
    (note,) = plan_study(tmp_path, "debug", ["baseline"], [0, 1, 2]).notes()
    assert note.startswith("2 of 3 runs were begun by minform") and "this is 99" in note


def test_an_unfinished_study_tells_what_is_missing(tmp_path: Path) -> None:
    begin(plan_study(tmp_path, "debug", ["baseline"], [0]))
    begin(plan_study(tmp_path, "debug", ["baseline", "minimal"], [0]), finished=False)
    stored = read_study_folder(tmp_path)
    assert len(stored.results) == 1
    assert "1 of 2 runs are not finished, first minimal, seed 0" in stored.notes
    (tmp_path / "baseline/seed-0/result.json").unlink()
    with pytest.raises(InputError, match="no finished run yet"):
        read_study_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 4}, "format version 4"),
        ({"runs": []}, "damaged: runs"),
        ({"seeds": ["x"]}, "damaged: seeds.0"),
        ({"more": 1}, "damaged: more"),
        ({"runs": [{"variant": "baseline", "grid": {}, "seed": 0, "folder": "../x"}]}, "lies outside"),
        ({"runs": [{"variant": "baseline", "grid": {}, "seed": -1, "folder": "x"}]}, "damaged: runs.0.seed"),
    ],
)
def test_a_damaged_study_is_refused_in_one_line(change: dict[str, object], message: str, tmp_path: Path) -> None:
    begin(plan_study(tmp_path, "debug", ["baseline"], [0]))
    path = tmp_path / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    for read in (read_study_folder, lambda folder: plan_study(folder, "debug", ["baseline"], [1])):
        with pytest.raises(InputError, match=message) as refused:
            read(tmp_path)
        assert "\n" not in str(refused.value)


def test_the_command_of_a_study_plans_the_same_runs(tmp_path: Path) -> None:
    plan = comparison.plan_comparison(
        StudyOptions(
            preset="debug", variants=["baseline", "minimal"], settings=["train.epochs=2"], seeds=2, out=tmp_path,
            grid=["model.depth=1,2"],
        )
    )  # fmt: skip
    words = plan.record().command().split()
    assert words[:2] == ["minform", "compare"]
    said = "--preset debug --variant baseline --variant minimal --set train.epochs=2 --grid model.depth=1,2 --seeds 2"
    assert " ".join(words[2:]) == said
    odd = plan_study(tmp_path, "debug", ["baseline"], [3, 5]).record().command()
    assert odd == "minform compare --preset debug --variant baseline --seed 3 --seed 5"


def test_more_runs_are_measured_as_those_of_the_study_are(tmp_path: Path) -> None:
    begin(plan_study(tmp_path, "multi30k-tiny", ["baseline"], [0], ["data.bleu_tokenizer=char"]), finished=False)
    plan = plan_study(tmp_path, "multi30k-tiny", ["baseline", "no-mlp"], [0, 1])
    assert {run.config.data.bleu_tokenizer for run in plan.runs} == {"char"}
    with pytest.raises(InputError, match=r"data\.bleu_tokenizer is 'char' there and 'zh' here"):
        plan_study(tmp_path, "multi30k-tiny", ["baseline"], [1], ["data.bleu_tokenizer=zh"])


def test_a_warm_up_longer_than_the_training_is_told_of_before_and_after(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", ["baseline"], [0], ["train.warmup_epochs=30", "train.epochs=1"])
    begin(plan)
    for notes in (plan.notes(), read_study_folder(tmp_path).notes):
        told = [note for note in notes if "warm-up" in note]
        assert len(told) == 1
        assert "reaches 0.000333, 3.33 % of train.learning_rate 0.01" in told[0]
