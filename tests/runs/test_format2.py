"""Folders that an earlier version of minform wrote are read by all that reads a run."""

import json
from pathlib import Path

import pytest

from minform_cli.files import RunFolder, read_json
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_run
from tests.cli.commands import Command

ASKED = "is of format 2: shapes, classes and normalisation were asked of the data set"
HERE = ("--device", "cpu", "--threads", "1")
PICTURES = (
    *("--preset", "digits", "--set", "data.name=image-folder", "--set", "train.batch_size=8"),
    *("--set", "train.warmup_epochs=0", "--set", "model.dim=8", "--set", "model.depth=1", "--set", "model.heads=1"),
    *("--set", "model.mlp_multiple=1"),
)


@pytest.mark.parametrize("name", ["image", "text", "translation", "started", "study/symmetric/seed-1"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_eval_measures_what_training_measured(format2: Path, minform: Command, name: str, split: str) -> None:
    metrics = read_result(format2 / name)["metrics"]
    if metrics[f"{split}_loss"] is None:
        split = "val"
    done = minform("eval", name, "--split", split, *HERE, "--format", "json")
    assert done.code == 0, done.err
    (record,) = json.loads(done.out)
    assert record["loss"] == pytest.approx(metrics[f"{split}_loss"], rel=1e-5)
    for measure, value in record["measured"].items():
        assert value == pytest.approx(metrics[f"{split}_{measure}"])
    assert any(ASKED in note for note in record["notes"])


def test_an_unfinished_run_goes_on_to_its_end(format2: Path, minform: Command) -> None:
    settings = (*PICTURES, "--set", "data.path=data/pictures", "--set", "train.epochs=3", "--variant", "symmetric")
    whole = minform("train", *settings, *HERE, "--out", "whole")
    rest = minform("train", *settings, *HERE, "--out", "unfinished", "--resume")
    assert (whole.code, rest.code) == (0, 0), rest.err
    ours, theirs = read_result(format2 / "whole"), read_result(format2 / "unfinished")
    assert theirs["steps"] == ours["steps"] == 9
    # Half of it was computed on another machine: equal but for the order of additions.
    for name, value in ours["metrics"].items():
        assert theirs["metrics"][name] == (value if value is None else pytest.approx(value, rel=1e-3)), name
    assert read_json(format2 / "unfinished" / "run.json", "run")["format"] == 2  # what was sealed stays as it is


@pytest.mark.parametrize("name", ["text", "translation", "started"])
def test_a_run_on_text_that_lost_its_result_finds_it_again(format2: Path, minform: Command, name: str) -> None:
    """The data are read, found to be the same, and measured."""
    config = RunFolder(format2 / name)
    before = read_result(format2 / name)
    config.result.unlink()
    stored = read_run(format2 / name)
    from minform_cli.training.run import train

    result = train(stored.config, format2 / name, resume=True, device="cpu", threads=1)
    assert result["metrics"]["val_loss"] == before["metrics"]["val_loss"]
    assert result["data"]["fingerprint"] == before["data"]["fingerprint"]


def test_a_run_starts_from_one_of_format_2(format2: Path, minform: Command) -> None:
    (format2 / "data" / "text.txt").rename(format2 / "data" / "moved.txt")
    given = ("--preset", "pydoc-tiny", "--set", "data.name=text", "--set", "data.path=data/moved.txt")
    given = (*given, "--set", "data.seq_len=16", "--set", "train.batch_size=8", "--set", "train.epochs=1")
    done = minform("train", *given, "--set", "train.warmup_epochs=0", "--init", "text", *HERE, "--seed", "1")
    assert done.code == 0, done.err
    again = minform("train", *given, "--set", "train.warmup_epochs=0", "--init", "text", *HERE, "--seed", "1")
    assert again.code == 2 and "is not empty" in again.err
    assert read_result(Path("runs/pydoc-tiny-baseline-seed1"))["metrics"]["val_loss"] == pytest.approx(
        read_result(format2 / "started")["metrics"]["val_loss"], rel=1e-5
    )


def test_a_study_is_drawn_again(format2: Path, minform: Command) -> None:
    table = (format2 / "study" / "table.csv").read_text()
    done = minform("compare", "--from", "study", "--device", "cpu")
    assert done.code == 0, done.err
    assert (format2 / "study" / "table.csv").read_text() == table


def test_a_study_is_extended_by_a_seed(format2: Path, minform: Command) -> None:
    """Its data are spelled otherwise than they were."""
    variants = ("--variant", "baseline", "--variant", "symmetric", "--set", "train.epochs=2")
    given = (*PICTURES, "--set", "data.path=./data/pictures", *variants, "--seeds", "3", "--out", "study")
    done = minform("compare", *given, "--jobs", "1", *HERE)
    assert done.code == 0, done.err
    record = read_json(format2 / "study" / "study.json", "study")
    assert (len(record["runs"]), record["format"]) == (6, 3)
    formats = [read_json(format2 / "study" / run["folder"] / "run.json", "run")["format"] for run in record["runs"]]
    assert sorted(formats) == [2, 2, 2, 2, 3, 3]
