"""Ctrl-C and SIGTERM in every phase: the exit code, a checkpoint within one step, and the same bits in the end."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minform_cli.data.batch import Batch
from minform_cli.data.images.image_batches import ImageBatches as Batches
from minform_cli.data.source import Source
from minform_cli.errors import Interrupted
from minform_cli.files import RunFolder
from minform_cli.runs import checkpoint as checkpoint_module
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.training import run as run_module
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.run import train
from minform_cli.training.step import Stepper
from tests.training import killing
from tests.training.conftest import SETTINGS, bits, tiny
from tests.waiting import until

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def during_call(module: Any, name: str, call: int) -> Callable[[pytest.MonkeyPatch, int], None]:
    """Sends the signal inside the `call`-th call of a function."""

    def arm(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        original, count = getattr(module, name), 0

        def signalled(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == call:
                send(number)
            return original(*args, **options)

        monkeypatch.setattr(module, name, signalled)

    return arm


def during_evaluation(split: str, epoch: int) -> Callable[[pytest.MonkeyPatch, int], None]:
    """Sends the signal between two batches of an evaluation."""

    def arm(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        original, count = Batches.evaluation, 0

        def signalled(self: Batches, which: Any) -> Iterator[Batch]:
            nonlocal count
            count += which == split
            for position, batch in enumerate(original(self, which)):
                if which == split and count == epoch and position == 1:
                    send(number)
                yield batch

        monkeypatch.setattr(Batches, "evaluation", signalled)

    return arm


PHASES: dict[str, tuple[Callable[[pytest.MonkeyPatch, int], None], int | None]] = {
    # phase: (how the signal is sent, the step the checkpoint must stand at; None for no checkpoint)
    "counting": (during_call(run_module, "verify", 1), None),
    "loading data": (during_call(Source, "load", 1), None),
    "building": (during_call(run_module, "build_model", 1), None),
    "the first step": (during_call(Stepper, "take", 1), 1),
    "a step": (during_call(Stepper, "take", 7), 7),
    "the last step of an epoch": (during_call(Stepper, "take", 10), 10),
    "the last step": (during_call(Stepper, "take", 15), 15),
    "validation": (during_evaluation("val", 2), 10),
    "a save": (during_call(checkpoint_module, "write_tensors", 2), 15),
    "the last test": (during_evaluation("test", 1), 15),
}


@pytest.mark.parametrize(("number", "code"), CODES)
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_saves_within_a_step_and_the_resumed_run_has_the_same_bits(
    tmp_path: Path, undisturbed: Path, phase: str, number: int, code: int
) -> None:
    arm, step = PHASES[phase]
    out = tmp_path / "run"
    before = signal.getsignal(number)
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Interrupted) as caught:
        arm(monkeypatch, number)
        train(tiny(), out, threads=1)
    assert caught.value.exit_code == code
    assert "--resume" in str(caught.value) and "\n" not in str(caught.value)
    assert signal.getsignal(number) is before
    folder = RunFolder(out)
    assert not folder.is_finished() and not list(out.glob(".*.tmp"))
    assert folder.checkpoint.exists() == (step is not None)
    if step is not None:
        assert read_checkpoint(folder, read_meta(folder)["sha256"]).state.step == step
    train(tiny(), out, threads=1, resume=True)
    assert bits(out) == bits(undisturbed)


def test_a_second_signal_leaves_at_once_without_a_save_and_without_temporary_files(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Interrupted, match="left at once") as caught:
        during_call(Stepper, "take", 7)(monkeypatch, signal.SIGINT)
        during_call(checkpoint_module, "write_tensors", 2)(monkeypatch, signal.SIGINT)
        train(tiny(), out, threads=1)
    assert caught.value.exit_code == 130
    assert not RunFolder(out).checkpoint.exists() and not list(out.glob(".*.tmp"))


def test_a_second_signal_does_not_wait_for_the_step_to_end(tmp_path: Path) -> None:
    def slow(self: Stepper, step: int, batch: Batch) -> tuple[float, int]:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        raise AssertionError("the step went on")

    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Interrupted) as caught:
        monkeypatch.setattr(Stepper, "take", slow)
        train(tiny(), tmp_path / "run", threads=1)
    assert caught.value.exit_code == 143


def test_outside_the_main_thread_nothing_is_installed() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with StopRequest("try again"):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest("try again") as stop:
            send(signal.SIGINT)
            stop.check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_process_that_is_signalled_exits_with_its_code_and_can_go_on(
    tmp_path: Path, undisturbed: Path, number: int, code: int
) -> None:
    out = tmp_path / "run"
    eager = (*SETTINGS, "train.checkpoint_every_s=0")
    process = killing.start(out, "baseline", eager, held_at=5)
    until(lambda: RunFolder(out).checkpoint.exists() or not process.is_alive(), "a checkpoint", pause_s=0.001)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == code
    assert "saved at step" in (tmp_path / "message").read_text()
    train(tiny(), out, threads=1, resume=True)
    assert bits(out) == bits(undisturbed)


def test_a_third_signal_ends_the_process_on_the_spot() -> None:
    code = """
import os, signal
from minform_cli.errors import Interrupted
from minform_cli.training.interrupt import StopRequest
with StopRequest("try again") as stop:
    stop.defer()
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Interrupted:
        assert stop.leaving
    os.kill(os.getpid(), signal.SIGTERM)
    raise AssertionError
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 143
