"""The whole path: what a run leaves behind, what it refuses, and that it repeats to the bit."""

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from minform_cli.config.presets import load_config
from minform_cli.config.schema import DataConfig
from minform_cli.data.batches import Batches
from minform_cli.data.images import ImageData
from minform_cli.errors import InputError, Interrupted, MachineError, NumericalError
from minform_cli.results import Progress, RunFolder, read_json, read_result, write_json
from minform_cli.training import folder as folder_module
from minform_cli.training import run as run_module
from minform_cli.training.checkpoint import read_checkpoint
from minform_cli.training.folder import read_meta
from minform_cli.training.run import dry_run, train
from minform_cli.training.seal import sealed
from minform_cli.training.step import Stepper
from tests.training.conftest import bits, tiny
from tests.training.faults import Disk

TrainTiny = Callable[..., Path]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def stopped(out: Path, step: int, *settings: str) -> Path:
    """A run that was stopped by a signal at `step`."""
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Interrupted):
        take = Stepper.take

        def signalled(self: Stepper, number: int, batch: Any) -> tuple[float, int]:
            if number + 1 == step:
                os.kill(os.getpid(), 2)
            return take(self, number, batch)

        monkeypatch.setattr(Stepper, "take", signalled)
        train(tiny(*settings), out, threads=1)
    return out


def test_the_same_command_twice_gives_the_same_bytes(train_tiny: TrainTiny, undisturbed: Path) -> None:
    folder = train_tiny()
    assert bits(folder) == bits(undisturbed)
    for name in ("run.json", "config.yaml"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    ours, theirs = read_result(folder), read_result(undisturbed)
    assert {**ours, "timing": None} == {**theirs, "timing": None}


def test_two_threads_repeat_their_own_bits(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert train(tiny(), tmp_path / name, threads=2)["environment"]["threads"] == 2
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


def test_a_finished_run_holds_what_its_folder_promises(undisturbed: Path) -> None:
    folder, result = RunFolder(undisturbed), read_result(undisturbed)
    files = read_checkpoint(folder, read_meta(folder)["sha256"]).files
    expected = {"checkpoint.json", "config.yaml", "metrics.jsonl", "result.json", "run.json", "timings.jsonl", ".lock"}
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
    assert (result["metrics"]["best_epoch"], result["metrics"]["best_val_accuracy"]) == (
        best["epoch"],
        best["val_accuracy"],
    )
    assert [set(line) for line in lines(folder.timings)] == [{"epoch", "train_s", "eval_s", "examples_per_s"}] * 3
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


@pytest.mark.parametrize("resume", [False, True])
def test_an_illegal_setting_leaves_no_folder_behind(tmp_path: Path, resume: bool) -> None:
    config = tiny()
    broken = config.model_copy(update={"model": config.model.model_copy(update={"heads": 3})})
    with pytest.raises(InputError, match=r"model.heads 3"):
        train(broken, tmp_path / "run", resume=resume)
    with pytest.raises(InputError, match="--device cuda:99"):
        train(config, tmp_path / "run", resume=resume, device="cuda:99")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_and_not_touched(undisturbed: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in undisturbed.iterdir()}
    with pytest.raises(InputError, match="is not empty: --resume goes on with the run in it, --out names another"):
        train(tiny(), undisturbed)
    assert {path.name: path.read_bytes() for path in undisturbed.iterdir()} == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a run folder"):
        train(tiny(), tmp_path, resume=True)
    with pytest.raises(InputError, match="is not a folder"):
        train(tiny(), tmp_path / "notes.txt")
    with pytest.raises(InputError, match="is not a folder"):
        train(tiny(), tmp_path / "notes.txt" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_taken(train_tiny: TrainTiny, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert RunFolder(train_tiny()).is_finished()


def test_resuming_a_finished_run_returns_it_and_says_so(undisturbed: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in undisturbed.iterdir()}
    news: list[Progress] = []
    assert train(tiny(), undisturbed, resume=True, on_progress=news.append) == read_result(undisturbed)
    assert [n.text for n in news] == [f"{undisturbed} is finished: nothing to do"]
    assert {path.name: path.stat().st_mtime_ns for path in undisturbed.iterdir()} == before


@pytest.mark.parametrize("begun", [False, True])
def test_resuming_without_a_checkpoint_starts_from_step_0_and_says_so(
    tmp_path: Path, undisturbed: Path, begun: bool
) -> None:
    out, news = tmp_path / "run", []
    if begun:
        with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(KeyError):
            monkeypatch.setattr(run_module, "_prepare", lambda *_: {}[0])
            train(tiny(), out, threads=1)
        (out / "config.yaml").unlink()  # as if killed between the two files
    train(tiny(), out, threads=1, resume=True, on_progress=news.append)
    assert f"{out} has no checkpoint yet: starting from step 0" in [n.text for n in news]
    assert bits(out) == bits(undisturbed)
    assert load_config(out / "config.yaml") == tiny()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.heads=4", "model.heads is 2 there and 4 here"),
        ("train.epochs=9", "train.epochs is 3 there and 9 here"),
        ("model.mlp=none", "model.mlp is 'gelu' there and 'none' here"),
        ("data.limit=100", "data.limit is 110 there and 100 here"),
    ],
)
def test_resuming_with_another_setting_names_it_and_both_values(
    tmp_path: Path, undisturbed: Path, setting: str, message: str
) -> None:
    for folder in (undisturbed, stopped(tmp_path / "run", 3)):
        with pytest.raises(InputError, match=f"is another run: {message}"):
            train(tiny(setting), folder, resume=True)


def test_resuming_with_another_checkpoint_interval_is_fine(tmp_path: Path, undisturbed: Path) -> None:
    out = stopped(tmp_path / "run", 3)
    train(tiny("train.checkpoint_every_s=0.01"), out, resume=True)
    assert bits(out) == bits(undisturbed)


def test_resuming_on_other_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = stopped(tmp_path / "run", 3)
    meta = read_json(out / "run.json", "run description")
    del meta["sha256"], meta["kind"]
    write_json(out / "run.json", sealed("run description", {**meta, "fingerprint": "0" * 64}))
    with pytest.raises(InputError, match=r"the data differ from those the run was made with: fingerprint 000000000000"):
        train(tiny(), out, resume=True)


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    out = stopped(tmp_path / "run", 3)
    meta = read_json(out / "run.json", "run description")
    write_json(out / "run.json", {**meta, "format": 99})
    with pytest.raises(InputError, match=r"run.json has format version 99; this minform reads version 1"):
        train(tiny(), out, resume=True)


def test_another_minform_version_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, news = stopped(tmp_path / "run", 3), []
    monkeypatch.setattr("minform_cli.training.runtime.__version__", "9.9.9")
    train(tiny(), out, resume=True, on_progress=news.append)
    assert any("the run began with minform 0.1.0, this is 9.9.9" in n.text for n in news)


def test_resume_takes_the_threads_the_run_began_with_and_notes_others(tmp_path: Path) -> None:
    out, news = stopped(tmp_path / "run", 3), []
    torch.set_num_threads(2)
    with pytest.raises(Interrupted):
        train(tiny(), out, resume=True, on_progress=lambda n: (news.append(n.text), os.kill(os.getpid(), 2)))
    assert torch.get_num_threads() == 2
    result = train(tiny(), out, resume=True, threads=2, on_progress=lambda n: news.append(n.text))
    assert any("the run began with threads 1, this is 2: results are equal to the bit only where" in t for t in news)
    assert result["environment"]["threads"] == 2
    again = stopped(tmp_path / "again", 3)
    assert train(tiny(), again, resume=True)["environment"]["threads"] == 1


def test_two_processes_cannot_train_one_run(tmp_path: Path) -> None:
    out = stopped(tmp_path / "run", 3)
    with FileLock(out / folder_module.LOCK), pytest.raises(InputError, match="another process is training this run"):
        train(tiny(), out, resume=True)
    train(tiny(), out, resume=True)


def test_nan_stops_the_run_and_the_last_good_checkpoint_goes_on(tmp_path: Path, undisturbed: Path) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(NumericalError, match="at step 8 of 15") as caught:
        take = Stepper.take

        def poisoned(self: Stepper, step: int, batch: Any) -> tuple[float, int]:
            if step == 7:
                batch.images[0, 0, 0, 0] = float("nan")
            return take(self, step, batch)

        monkeypatch.setattr(Stepper, "take", poisoned)
        train(tiny("train.checkpoint_every_s=0"), out, threads=1)
    assert caught.value.exit_code == 3
    folder = RunFolder(out)
    assert read_checkpoint(folder, read_meta(folder)["sha256"]).state.step == 7
    train(tiny(), out, resume=True)
    assert bits(out) == bits(undisturbed)


def test_a_weight_that_is_not_finite_never_reaches_a_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(NumericalError, match=r"^weight \S+ is not finite"):
        take = Stepper.take

        def poisoned(self: Stepper, step: int, batch: Any) -> tuple[float, int]:
            taken = take(self, step, batch)
            if step == 14:
                with torch.no_grad():
                    next(self.model.parameters())[0] = float("inf")
            return taken

        monkeypatch.setattr(Stepper, "take", poisoned)
        train(tiny("train.checkpoint_every_s=0"), out, threads=1)
    folder = RunFolder(out)
    assert read_checkpoint(folder, read_meta(folder)["sha256"]).state.step == 14


def test_a_full_disk_while_running_keeps_the_earlier_checkpoint(tmp_path: Path, undisturbed: Path) -> None:
    out = stopped(tmp_path / "run", 7)
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(MachineError) as caught:
        Disk(monkeypatch, at=12, how=errno.ENOSPC, lasting=True)
        train(tiny(), out, resume=True)
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)
    folder = RunFolder(out)
    assert read_checkpoint(folder, read_meta(folder)["sha256"]).state.step >= 7
    train(tiny(), out, resume=True)
    assert bits(out) == bits(undisturbed)


def test_a_folder_that_cannot_be_made_is_the_machines_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(MachineError, match=r"cannot write to .*run: Permission denied"):
        train(tiny(), tmp_path / "run", threads=1)


def test_a_dry_run_takes_one_step_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = dry_run(tiny("model.dropout=0"), threads=1)
    assert (found["steps_per_epoch"], found["steps"]) == (5, 15)
    assert 1.0 < found["loss"] < 5.0  # ten classes, untrained: around log 10 = 2.3
    assert found["seconds"] > 0
    assert found["count"]["parameters"] == sum(found["count"]["groups"].values())
    assert found["data"]["num_train"] == 110
    assert list(tmp_path.iterdir()) == []


def test_a_signal_whose_error_the_data_code_swallowed_still_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_data = run_module.load_data

    def swallowing(data: DataConfig) -> ImageData:
        with contextlib.suppress(Interrupted):
            os.kill(os.getpid(), 2)
        return load_data(data)

    monkeypatch.setattr(run_module, "load_data", swallowing)
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path / "run", threads=1)
    assert list(tmp_path.iterdir()) == []
