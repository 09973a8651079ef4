"""The whole path: what a run leaves behind, what it refuses, and that it repeats to the bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minform_cli.config.presets import load_config
from minform_cli.data.images.image_batches import ImageBatches as Batches
from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import read_result
from minform_cli.training.run import train
from minform_cli.training.step import Stepper
from tests.training.conftest import bits, lines, stopped, tiny

TrainTiny = Callable[..., Path]


def test_the_same_command_twice_gives_the_same_bytes(train_tiny: TrainTiny, undisturbed: Path) -> None:
    folder = train_tiny()
    assert bits(folder) == bits(undisturbed)
    for name in ("run.json", "config.yaml"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    ours, theirs = read_result(folder), read_result(undisturbed)
    assert {**ours, "timing": None} == {**theirs, "timing": None}


def test_two_threads_repeat_their_own_bits(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert train(tiny("train.epochs=1"), tmp_path / name, threads=2)["environment"]["threads"] == 2
    assert bits(tmp_path / "a") == bits(tmp_path / "b")


def test_another_seed_gives_other_weights(tmp_path: Path, undisturbed: Path) -> None:
    train(tiny(seed=1), tmp_path / "run", threads=1)
    assert bits(tmp_path / "run")["weights"] != bits(undisturbed)["weights"]


def test_how_often_a_run_saves_does_not_change_its_results(train_tiny: TrainTiny, undisturbed: Path) -> None:
    assert bits(train_tiny("train.checkpoint_every_s=0")) == bits(undisturbed)


@pytest.mark.parametrize("step", [1, 4, 5, 6, 14])
def test_a_resumed_epoch_has_the_metrics_of_one_in_one_go(tmp_path: Path, undisturbed: Path, step: int) -> None:
    out = stopped(tmp_path / "run", step)
    result = train(tiny(), out, resume=True)
    assert bits(out) == bits(undisturbed)
    assert result["metrics"] == read_result(undisturbed)["metrics"]


def test_as_many_steps_as_the_epochs_have_give_the_same_bits(train_tiny: TrainTiny, undisturbed: Path) -> None:
    assert bits(train_tiny("train.steps=15", "train.epochs=1")) == bits(undisturbed)


@pytest.mark.parametrize("step", [1, 5, 6, 7])
def test_a_run_of_steps_ends_within_an_epoch_with_a_validation_and_resumes_to_the_same_bits(
    tmp_path: Path, train_tiny: TrainTiny, step: int
) -> None:
    whole, told = train_tiny("train.steps=7", name="whole"), []
    out = stopped(tmp_path / "run", step, "train.steps=7")
    result = train(tiny("train.steps=7"), out, resume=True, on_progress=told.append)
    assert bits(out) == bits(whole)
    assert [(line["epoch"], line["step"]) for line in lines(out / "metrics.jsonl")] == [(1, 5), (2, 7)]
    assert (result["steps"], result["epochs"], result["curve"][-1][0]) == (7, 1.4, 7)
    assert (told[-1].step, told[-1].steps, told[-1].epoch, told[-1].epochs) == (7, 7, 2, 2)


def test_other_steps_are_another_run_and_epochs_beside_them_are_not(train_tiny: TrainTiny) -> None:
    out = train_tiny("train.steps=2")
    assert train(tiny("train.steps=2", "train.epochs=9"), out, resume=True)["steps"] == 2
    with pytest.raises(InputError, match=r"train\.steps is 2 there and 3 here"):
        train(tiny("train.steps=3"), out, resume=True)
    assert "steps" not in tiny().identity()["train"] and "steps" not in tiny().model_dump(mode="json")["train"]


def test_a_finished_run_holds_what_its_folder_promises(undisturbed: Path) -> None:
    folder, result = RunFolder(undisturbed), read_result(undisturbed)
    files = read_checkpoint(folder, read_meta(folder)["sha256"]).files
    expected = {"checkpoint.json", "config.yaml", "examples.json", "metrics.jsonl", "result.json", "run.json"}
    expected |= {"timings.jsonl", ".lock"}
    assert {p.name for p in undisturbed.iterdir()} == expected | {entry["name"] for entry in files.values()}
    assert load_config(folder.config) == tiny()
    assert result["weights_sha256"] == bits(undisturbed)["weights"]
    assert (result["epochs"], result["steps"], result["heads"], result["seed"]) == (3, 15, 2, 0)
    assert result["data"]["num_train"] == 110
    last = lines(folder.metrics)[-1]
    assert {key: result["metrics"][key] for key in ("train_loss", "val_loss", "val_accuracy")} == {
        key: last[key] for key in ("train_loss", "val_loss", "val_accuracy")
    }
    best = max(lines(folder.metrics), key=lambda line: (line["val_accuracy"], -line["val_loss"]))
    assert (result["metrics"]["best_epoch"], result["metrics"]["best_val_score"]) == (
        best["epoch"],
        best["val_accuracy"],
    )
    times = {"epoch", "train_s", "eval_s", "examples_per_s", "predicted_per_s"}
    assert [set(line) for line in lines(folder.timings)] == [times] * 3
    trained_s = sum(line["train_s"] for line in lines(folder.timings))
    assert result["timing"]["train_s"] == pytest.approx(trained_s, rel=1e-12)
    assert result["timing"]["seconds_per_epoch"] == pytest.approx(trained_s / 3, rel=1e-12)
    assert result["timing"]["total_s"] > trained_s


def test_the_epochs_training_metrics_are_means_over_its_examples(train_tiny: TrainTiny) -> None:
    seen: list[tuple[float, int, int]] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        take = Stepper.take

        def spy(self: Stepper, step: int, batch: Any) -> tuple[float, int]:
            loss, correct = take(self, step, batch)
            seen.append((loss, correct, len(batch.labels)))
            return loss, correct

        monkeypatch.setattr(Stepper, "take", spy)
        folder = train_tiny()
    for epoch, line in enumerate(lines(folder / "metrics.jsonl")):
        steps = seen[5 * epoch : 5 * epoch + 5]
        assert [size for _, _, size in steps] == [25, 25, 25, 25, 10]
        assert line["train_loss"] == pytest.approx(sum(loss * size for loss, _, size in steps) / 110, rel=1e-12)
        assert line["train_accuracy"] == sum(correct for _, correct, _ in steps) / 110


def test_the_test_set_is_read_once_after_the_last_step(train_tiny: TrainTiny) -> None:
    read: list[str] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        evaluation = Batches.evaluation

        def spy(self: Batches, split: Any) -> Any:
            read.append(split)
            return evaluation(self, split)

        monkeypatch.setattr(Batches, "evaluation", spy)
        folder = train_tiny()
    assert read == ["val", "val", "val", "test"]
    assert read_result(folder)["metrics"]["test_accuracy"] is not None


def test_a_run_validated_on_the_test_set_has_no_test_figures(train_tiny: TrainTiny) -> None:
    result = read_result(train_tiny("data.validation=test"))
    assert result["metrics"]["test_loss"] is None and result["metrics"]["test_accuracy"] is None
    assert result["data"]["validation"] == "test"


def test_progress_tells_steps_epochs_and_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minform_cli.training.loop.TELL_EVERY_S", 0.0)
    news: list[Progress] = []
    result = train(tiny(), tmp_path / "run", device="cpu", threads=1, on_progress=news.append)
    assert [n.text for n in news if n.kind == "note"] == ["device: cpu"]
    assert [n.step for n in news if n.kind == "step"] == list(range(1, 16))
    epochs = [n for n in news if n.kind == "epoch"]
    assert [(n.epoch, n.epochs, n.step, n.steps) for n in epochs] == [(1, 3, 5, 15), (2, 3, 10, 15), (3, 3, 15, 15)]
    assert all(n.examples_per_s > 0 for n in epochs) and epochs[-1].seconds_left == 0
    assert news[-1].kind == "done"
    assert news[-1].metrics is not None and news[-1].metrics["val_loss"] == result["metrics"]["val_loss"]


def test_step_events_come_at_most_ten_times_a_second(tmp_path: Path) -> None:
    news: list[Progress] = []
    result = train(tiny("train.epochs=20"), tmp_path / "run", threads=1, on_progress=news.append)
    assert len([n for n in news if n.kind == "step"]) <= 10 * result["timing"]["total_s"] + 1
