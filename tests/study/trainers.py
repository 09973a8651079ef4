"""Stand-ins for training, importable by the processes of a study: they only do what a test needs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from minform_cli.errors import Interrupted, NumericalError
from minform_cli.files import RunFolder, write_json
from minform_cli.runs.progress import Listener, Progress
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.prepare import Prepared
from tests.report.records import result_record
from tests.waiting import HANGS_S, hold, until


def quick(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """Finishes at once and notes how it was called."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "called").write_text(f"resume={resume} device={device} threads={threads}")
    if on_progress:
        on_progress(Progress("epoch", epoch=1, epochs=1, text=str(os.getpid())))
    write_json(RunFolder(out).result, result_record(run.config.variant, run.config.seed))


def diverging(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """`no-mlp` fails once the others are running; they run until they are asked to stop, and then save."""
    if run.config.variant == "no-mlp":
        until((out.parent.parent / "minimal" / "seed-0" / "begun").exists, "the other run")
        raise NumericalError("loss is not finite at step 7")
    _until_stopped(out)


def dying(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """`no-mlp` is killed once the others are running; they run until they are asked to stop, and then save."""
    if run.config.variant == "no-mlp":
        until((out.parent.parent / "minimal" / "seed-0" / "begun").exists, "the other run")
        os.kill(os.getpid(), signal.SIGKILL)
    _until_stopped(out)


def broken(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """Has a bug."""
    raise ZeroDivisionError("a bug of ours")


def endless(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """Runs until it is asked to stop, and then saves."""
    _until_stopped(out)


def held(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """Trains, and goes no further than its first epochs until it is asked to stop."""
    from minform_cli.training.run import train  # here, as no other needs torch

    hold(step=20)
    train(run, out, resume=resume, device=device, threads=threads, on_progress=on_progress)


def stubborn(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """Takes for ever to save."""
    try:
        _until_stopped(out)
    except Interrupted:
        time.sleep(2 * HANGS_S)


def _until_stopped(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with StopRequest("go on") as stop:
        stop.defer()
        (out / "begun").write_text(str(os.getpid()))
        try:
            while True:
                stop.check()
                time.sleep(0.01)
        except Interrupted:
            if not stop.leaving:
                time.sleep(0.5)  # a second signal during the save would leave without it
                (out / "saved").touch()
            raise
