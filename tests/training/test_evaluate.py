"""Evaluation from the run folder alone."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from minform_cli.data.load import load_data
from minform_cli.errors import InputError, Interrupted, NumericalError
from minform_cli.files import RunFolder, read_json, write_json
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.runs.records import read_result
from minform_cli.runs.seal import sealed
from minform_cli.runs.tensors import write_tensors
from minform_cli.training.evaluate import confusion_matrix, evaluate_run
from tests.training.conftest import lines, tiny

TrainTiny = Callable[..., Path]


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


@pytest.mark.parametrize("split", ["val", "test"])
def test_it_measures_what_training_measured(undisturbed: Path, split: str) -> None:
    found, metrics = evaluate_run(undisturbed, split, threads=1), read_result(undisturbed)["metrics"]
    assert (found["measured"]["accuracy"], found["loss"]) == (metrics[f"{split}_accuracy"], metrics[f"{split}_loss"])
    assert (found["preset"], found["split"], found["checkpoint"]) == ("debug", split, "last")
    assert found["parameters"] == read_result(undisturbed)["count"]["parameters"]
    assert found["notes"] == []


def first_worse(run: Path) -> int | None:
    """The first epoch, from 1, whose accuracy is below that of one before it."""
    scores = [line["val_accuracy"] for line in lines(run / "metrics.jsonl")]
    return next((i + 1 for i, score in enumerate(scores) if score < max(scores[:i], default=0.0)), None)


def test_best_takes_the_weights_of_the_best_epoch(train_tiny: TrainTiny) -> None:
    # At so high a rate some epoch is worse than one before it; which is the processor's matter, and a run ends there.
    tried = [(f"train.learning_rate={rate}", "train.schedule=constant") for rate in (0.03, 0.02, 0.05)]
    whole = {settings: train_tiny(*settings, "train.epochs=8", name=f"whole {settings[0]}") for settings in tried}
    worse = [(settings, epochs) for settings, run in whole.items() if (epochs := first_worse(run)) is not None]
    settings, epochs = worse[0]
    folder = train_tiny(*settings, f"train.epochs={epochs}")
    metrics = read_result(folder)["metrics"]
    assert metrics["best_val_score"] != metrics["val_accuracy"]
    assert evaluate_run(folder, which="best", threads=1)["measured"]["accuracy"] == metrics["best_val_score"]
    assert evaluate_run(folder, which="last", threads=1)["measured"]["accuracy"] == metrics["val_accuracy"]


def test_the_confusion_matrix_adds_up_to_the_accuracy_and_the_classes(undisturbed: Path) -> None:
    found = evaluate_run(undisturbed, threads=1)
    confusion = torch.tensor(found["confusion"])
    labels = torch.from_numpy(load_data(tiny().data).val.labels)
    assert confusion.sum() == found["num_examples"] == len(labels)
    assert confusion.trace() / confusion.sum() == pytest.approx(found["measured"]["accuracy"])
    assert confusion.sum(1).tolist() == labels.bincount(minlength=10).tolist()
    assert found["per_class_accuracy"] == [pytest.approx(row[i] / sum(row)) for i, row in enumerate(found["confusion"])]
    assert len(found["class_names"]) == 10


def test_rows_are_classes_and_columns_are_what_they_were_taken_for() -> None:
    labels, predictions = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 0])
    assert confusion_matrix(labels, predictions, 3) == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_a_test_split_that_validation_used_is_refused_with_the_reason(train_tiny: TrainTiny) -> None:
    folder = train_tiny("data.validation=test")
    with pytest.raises(InputError, match=r"validated on the test set of digits.*use --split val"):
        evaluate_run(folder, "test", threads=1)
    assert evaluate_run(folder, "val", threads=1)["notes"] == ["validation was done on the test set"]


def test_an_unknown_split_is_refused(undisturbed: Path) -> None:
    with pytest.raises(InputError, match="--split: unknown split 'tset'; did you mean 'test'"):
        evaluate_run(undisturbed, "tset")


def test_folders_that_hold_no_run_are_refused(tmp_path: Path, undisturbed: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        evaluate_run(tmp_path / "none")
    with pytest.raises(InputError, match=r"run description .*run.json is missing"):
        evaluate_run(tmp_path)
    unfinished = copy(undisturbed, tmp_path / "run")
    RunFolder(unfinished).checkpoint.unlink()
    with pytest.raises(InputError, match="has no checkpoint yet: the run is incomplete; go on with --resume"):
        evaluate_run(unfinished)


@pytest.mark.parametrize("file", ["weights-15.safetensors", "run.json", "checkpoint.json"])
def test_a_damaged_folder_is_refused(tmp_path: Path, undisturbed: Path, file: str) -> None:
    folder = copy(undisturbed, tmp_path / "run")
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(InputError, match=f"{file} is damaged"):
        evaluate_run(folder)
    (folder / file).unlink()
    with pytest.raises(InputError):
        evaluate_run(folder)


def test_an_unfinished_run_is_measured_and_a_note_says_where_it_stands(tmp_path: Path, undisturbed: Path) -> None:
    folder = copy(undisturbed, tmp_path / "run")
    RunFolder(folder).result.unlink()
    notes = evaluate_run(folder, threads=1)["notes"]
    assert notes == ["the run is not finished: these are the weights after step 15, 3 of 3 epochs"]


def test_a_signal_stops_it_with_the_signals_code(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minform_cli.data.source.Source.load", lambda _: os.kill(os.getpid(), 15))
    with pytest.raises(Interrupted, match=r"^SIGTERM: stopped; nothing was measured$") as caught:
        evaluate_run(undisturbed)
    assert caught.value.exit_code == 143


def test_other_data_are_refused(tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data(tiny("data.limit=100").data)
    monkeypatch.setattr("minform_cli.data.source.Source.load", lambda _: data)
    with pytest.raises(InputError, match="the data differ"):
        evaluate_run(undisturbed)


def test_weights_that_measure_nothing_finite_are_a_numerical_failure(tmp_path: Path, undisturbed: Path) -> None:
    folder = copy(undisturbed, tmp_path / "run")
    run = RunFolder(folder)
    meta = read_meta(run)
    checkpoint = read_json(run.checkpoint, "checkpoint")
    weights = safetensors.torch.load_file(folder / checkpoint["files"]["weights"]["name"])
    weights = {name: torch.full_like(value, float("nan")) for name, value in weights.items()}
    checkpoint["files"]["weights"] = write_tensors(run, "weights-15.safetensors", weights)
    del checkpoint["sha256"], checkpoint["kind"]
    write_json(run.checkpoint, sealed("checkpoint", checkpoint))
    assert read_checkpoint(run, meta["sha256"])
    with pytest.raises(NumericalError, match="the loss on the val split is not finite with the last weights"):
        evaluate_run(folder)
