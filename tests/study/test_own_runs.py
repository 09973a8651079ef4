"""Studies of ours compared as a table: each with its recipe, by any metric, over seeds and examples."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import minform_cli
from minform_cli.errors import InputError
from minform_cli.files import RunFolder, read_json, write_json
from minform_cli.runs.records import read_result
from minform_cli.study.own_runs import are_own, read_own
from minform_cli.study.statistics import paired_difference
from minform_cli.training.run import train
from tests.cli.commands import Command
from tests.training.conftest import tiny

LESS = ("data.limit=100", "train.epochs=1", "train.warmup_epochs=0", "model.dim=8", "model.depth=1")


def study(out: Path, rate: str, *variants: str) -> None:
    settings = [*LESS, f"train.learning_rate={rate}"]
    minform_cli.compare(
        minform_cli.StudyOptions(
            preset="debug", variants=variants, settings=settings, seeds=3, out=out, device="cpu", threads=1, jobs=1
        )
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    study(folder / "a", "1e-3", "baseline")
    study(folder / "b", "1e-2", "no-mlp")
    return folder


def scores_of(folder: Path) -> list[float]:
    results = [read_result(path.parent) for path in sorted(folder.rglob("result.json"))]
    return [float(result["metrics"]["test_accuracy"] or 0) for result in results]


def test_each_row_has_its_recipe_and_any_metric_is_compared(two: Path) -> None:
    options = minform_cli.TableOptions(path=two, columns={"score": "test_accuracy"}, margin=50)
    baseline, reduced = minform_cli.compare_table(options)
    expected = paired_difference(scores_of(two / "b"), scores_of(two / "a"))
    assert (baseline["variant"], reduced["variant"]) == ("baseline", "no-mlp")
    assert (reduced["difference_low"], reduced["difference_high"]) == pytest.approx((expected.low, expected.high))
    assert baseline["unit"] == "%" and reduced["share_of_baseline"] is not None and reduced["share_of_baseline"] < 1
    over = reduced["over_examples"]["table"]
    assert over["score"] == "test_accuracy" and (over["num_seeds"], over["num_examples"]) == (3, 270)
    assert over["difference_mean"] == pytest.approx(expected.mean, abs=1e-7)
    assert over["low"] is not None and expected.low is not None and over["low"] <= expected.low + 1e-9
    table = read_own(two, {})
    assert table.score == "val_accuracy"
    assert table.notes == ("recipes differ: train.learning_rate 0.001 (baseline), 0.01 (no-mlp)",)


def test_losses_are_in_their_own_unit_and_lower_is_better(two: Path) -> None:
    table = read_own(two, {"score": "test_loss"})
    assert (table.unit, table.better, table.examples) == ("", "lower", {})


def test_rows_of_one_name_are_told_apart_by_their_study(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "a", tmp_path / "a")
    shutil.copytree(two / "a", tmp_path / "c")
    rows = read_own(tmp_path, {}).by_variant()
    assert list(rows) == ["baseline (a)", "baseline (c)"]


def test_runs_that_are_of_no_study_count_too(tmp_path: Path) -> None:
    for seed in (0, 1):
        train(tiny().model_copy(update={"seed": seed}), tmp_path / str(seed), device="cpu", threads=1)
    (rows,) = read_own(tmp_path, {}).by_variant().values()
    assert [run.seed for run in rows] == ["0", "1"]
    shutil.copytree(tmp_path / "0", tmp_path / "again")
    with pytest.raises(InputError, match="with seed 0 is there twice"):
        read_own(tmp_path, {})


def test_what_cannot_be_compared_is_refused(two: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown metric 'test_acuracy'; did you mean 'test_accuracy'"):
        read_own(two, {"score": "test_acuracy"})
    shutil.copytree(two, tmp_path / "two")
    result = next((tmp_path / "two" / "b").rglob("result.json"))
    content = read_json(result, "result")
    content["data"]["fingerprint"] = "0" * 64
    write_json(result, content)
    with pytest.raises(InputError, match="made with other data"):
        read_own(tmp_path / "two", {})


def test_examples_that_are_damaged_are_said_and_left_out(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two, tmp_path / "two")
    damaged = next((tmp_path / "two" / "b").rglob("examples.json"))
    damaged.write_text("{}")
    table = read_own(tmp_path / "two", {})
    assert len(table.examples) == 5
    assert any("left out of what is said over examples" in note for note in table.notes)
    assert any("the examples of 1 run are not known" in note for note in table.notes)


def test_a_folder_without_a_finished_run_is_none_of_ours(two: Path, tmp_path: Path) -> None:
    assert are_own(two) and not are_own(tmp_path) and not are_own(tmp_path / "none")
    shutil.copytree(two / "a", tmp_path / "a")
    for result in (tmp_path / "a").rglob("result.json"):
        result.unlink()
    assert RunFolder(tmp_path).path.is_dir() and not are_own(tmp_path)


def test_the_command_names_the_recipes(two: Path, minform: Command) -> None:
    done = minform("compare", "--table", str(two), "--columns", "score=test_accuracy", "--margin", "50")
    assert done.code == 0 and "test_accuracy" in done.out
    assert "recipes differ: train.learning_rate 0.001 (baseline), 0.01 (no-mlp)" in done.err
