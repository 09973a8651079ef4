"""What a run refuses, what it survives, and what it says on resuming."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from minform_cli.config.presets import load_config
from minform_cli.data.source import Source
from minform_cli.errors import InputError, Interrupted, MachineError, NumericalError
from minform_cli.files import RunFolder, read_json, write_json
from minform_cli.runs import folder as folder_module
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import read_result
from minform_cli.runs.seal import sealed
from minform_cli.training import run as run_module
from minform_cli.training.run import dry_run, train
from minform_cli.training.step import Stepper
from tests.training.conftest import bits, stopped, tiny
from tests.training.faults import Disk

TrainTiny = Callable[..., Path]


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
    with pytest.raises(InputError, match=r"run.json has format version 99; this minform reads versions 2 and 3"):
        train(tiny(), out, resume=True)


def test_another_minform_version_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, news = stopped(tmp_path / "run", 3), []
    monkeypatch.setattr("minform_cli.runs.environment.__version__", "9.9.9")
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
                batch.inputs[0][0, 0, 0, 0] = float("nan")
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


def test_a_run_and_its_dry_run_say_that_the_warm_up_does_not_end(tmp_path: Path) -> None:
    config = tiny("train.epochs=1", "train.warmup_epochs=8")
    told: list[Progress] = []
    train(config, tmp_path / "run", threads=1, on_progress=told.append)
    for notes in ([news.text for news in told], dry_run(config, threads=1)["notes"]):
        assert sum("12.5 % of train.learning_rate" in note for note in notes) == 1


def test_a_signal_whose_error_the_data_code_swallowed_still_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Source.load

    def swallowing(source: Source, tell: object) -> object:
        with contextlib.suppress(Interrupted):
            os.kill(os.getpid(), 2)
        return load(source)

    monkeypatch.setattr(Source, "load", swallowing)
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path / "run", threads=1)
    assert list(tmp_path.iterdir()) == []
