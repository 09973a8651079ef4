"""Stand-ins for training, importable by the processes of a study: they only do what a test needs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

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


def counting(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """Trains in a Ray task, with a checkpoint every `SAVED_EVERY` steps, and writes down each step that it takes.

    The first to do `no-mlp` goes no further than step `HELD_AT` and names its node, which is removed there.
    """
    import ray  # here and below, as no other needs it, or torch

    from minform_cli.training.loop import Loop
    from minform_cli.training.run import train
    from minform_cli.training.step import Stepper

    notes, held = out.parent / "steps", out.parent / "held"
    begun = RunFolder(out).checkpoint.is_file()
    take, save_if_due = Stepper.take, Loop._save_if_due

    def counted(self: Stepper, number: int, batch: Any) -> tuple[float, int]:
        if number == HELD_AT and run.config.variant == "no-mlp" and not begun:
            held.write_text(ray.get_runtime_context().get_node_id())
            until(lambda: False, "the end of the node")
        taken = take(self, number, batch)
        with notes.open("a") as file:
            file.write(f"{number} device={device} threads={threads}\n")
        return taken

    def save_by_steps(self: Loop) -> bool:
        if self.state.step % SAVED_EVERY == 0:
            self._save()
        return self.state.step % SAVED_EVERY == 0

    Stepper.take, Loop._save_if_due = counted, save_by_steps  # type: ignore[method-assign]
    try:
        train(run, out, resume=resume, device=device, threads=threads, on_progress=on_progress)
    finally:
        Stepper.take, Loop._save_if_due = take, save_if_due  # type: ignore[method-assign]


SAVED_EVERY = 4
HELD_AT = 7
