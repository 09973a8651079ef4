"""What a process of a study does: one run after another, as its parent says.

Of the signals only the parent's word counts, which comes through the pipe: a Ctrl-C in the terminal or a SIGTERM to
the whole group would reach a run twice, and the second signal means to leave without saving. If the parent dies, the
pipe ends and the run saves itself.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from minform_cli.errors import Interrupted, MinformError
from minform_cli.files import RunFolder
from minform_cli.runs.progress import Listener, Progress
from minform_cli.study.plan import PlannedRun
from minform_cli.training.prepare import Prepared


class Trainer(Protocol):
    """What trains one run: `minform_cli.training.run.train`, or a stand-in for it."""

    def __call__(
        self,
        run: Prepared,
        out: Path,
        /,
        *,
        resume: bool,
        device: str,
        threads: int | None,
        on_progress: Listener | None,
    ) -> object:
        """Trains `run` in the folder `out`."""
        ...


@dataclass(frozen=True)
class Stopped:
    """To the process: save and end."""


Assignment = PlannedRun | Stopped | None
"""What the parent sends: a run, or `Stopped`, or None when there is nothing left."""


@dataclass(frozen=True)
class News:
    """To the parent: how the run goes."""

    progress: Progress


@dataclass(frozen=True)
class Finished:
    """To the parent: the run has its result."""


@dataclass(frozen=True)
class Failed:
    """To the parent: the run failed. The error is taken apart, as not every class of ours can be pickled."""

    kind: type[MinformError]
    message: str


@dataclass(frozen=True)
class Broken:
    """To the parent: a bug, and where."""

    traceback: str


def train_planned(
    run: PlannedRun, trainer: Trainer, device: str, threads: int | None, tell: Callable[[Progress], None]
) -> None:
    """Trains a planned run, from its checkpoint if it was begun."""
    begun = RunFolder(run.folder).meta.is_file()
    prepared = Prepared(run.config, run.source)  # as the plan found it: nothing is looked at again
    trainer(prepared, run.folder, resume=begun, device=device, threads=threads, on_progress=tell)


def work(pipe: Connection, trainer: Trainer, device: str, threads: int | None) -> None:
    """The process: does what comes through the pipe until None, `Stopped` or the pipe's end."""
    try:
        _own_signals()
        assignments: queue.SimpleQueue[PlannedRun | None] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(pipe, assignments), daemon=True).start()
        while (run := assignments.get()) is not None:
            _send(pipe, _done(run, trainer, device, threads, pipe))
    except (KeyboardInterrupt, Interrupted):
        return  # asked to stop, and whatever was there to save is saved


def _done(run: PlannedRun, trainer: Trainer, device: str, threads: int | None, pipe: Connection) -> Any:
    """Does one run; what to tell the parent of its end."""
    try:
        train_planned(run, trainer, device, threads, lambda progress: _send(pipe, News(progress)))
    except Interrupted:
        raise
    except MinformError as error:
        return Failed(type(error), str(error))
    except Exception:
        return Broken(traceback.format_exc())
    return Finished()


def _listen(pipe: Connection, assignments: queue.SimpleQueue[PlannedRun | None]) -> None:
    """Reads the pipe beside the run, so that `Stopped` and the parent's death are noticed at once."""
    while True:
        try:
            said: Assignment = pipe.recv()
        except (EOFError, OSError):
            said = Stopped()
        if isinstance(said, Stopped):
            assignments.put(None)
            os.kill(os.getpid(), signal.SIGINT)
            return
        assignments.put(said)


def _send(pipe: Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except OSError:
        return  # the parent is gone; `_listen` has seen it and the run is about to save itself


def _own_signals() -> None:
    """From here on SIGINT comes from `_listen` alone, and SIGTERM is ignored; what came before is forgotten."""
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.default_int_handler)
