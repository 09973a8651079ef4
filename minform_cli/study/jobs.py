"""Runs side by side, each in a process of its own: hands out runs, passes on news, leaves no process behind.

Every process has a pipe of its own, so that one killed at any moment cannot damage what the others say. Of the signals
only the parent's word counts, which comes through the pipe: a Ctrl-C in the terminal or a SIGTERM to the whole group
would reach a run twice, and the second signal means to leave without saving. If the parent dies, the pipe ends and the
run saves itself.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import types
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self

from minform_cli.errors import Interrupted, MachineError
from minform_cli.runs.progress import Progress
from minform_cli.study.plan import PlannedRun
from minform_cli.study.worker import Broken, Elsewhere, Failed, Finished, StudyListener, Turns, Worker
from minform_cli.training.interrupt import StopRequest

_POLL_S = 0.2
"""How often a signal is looked for while no run has news."""

_GRACE_S = 60.0
"""How long a run may take to save itself; a step of a large model is not interrupted."""


@dataclass(frozen=True)
class _Stopped:
    """To a process: save and end."""


_Assignment = PlannedRun | _Stopped | None
"""What the parent sends: a run, or `_Stopped`, or None when there is nothing left."""


class _Process:
    """One process, the parent's end of its pipe, and the run it is doing."""

    def __init__(self, worker: Worker) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, worker))
        with _undisturbed_start():
            self.process.start()
        theirs.close()
        self.run: PlannedRun | None = None

    def kill(self) -> None:
        """Ends the process and what it started, whatever it is doing; a no-op once it has ended."""
        if self.process.is_alive():
            with suppress(AttributeError, ProcessLookupError):  # no groups here, or it has not made its own yet
                os.killpg(self.process.ident or 0, signal.SIGKILL)
            self.process.kill()
        self.process.join()
        self.pipe.close()

    def send(self, assignment: _Assignment) -> None:
        try:
            self.pipe.send(assignment)
        except OSError:
            return  # it is dead, which its sentinel will tell

    def receive(self) -> Any:
        """The next message, or None if the process will never send another."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None


class Jobs:
    """A fixed number of processes that do runs; a context, at whose end none of them is alive."""

    def __init__(self, num: int, worker: Worker, tell: StudyListener) -> None:
        self._tell = tell
        self._alive: list[_Process] = []
        self._start = lambda: _Process(worker)
        self._num = num

    def __enter__(self) -> Self:
        for _ in range(self._num):
            self._alive.append(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._alive:
            process.kill()

    def do(self, turns: Turns, stop: StopRequest) -> None:
        """Does the runs of `turns`, in their order as far as that goes side by side.

        Raises:
            Interrupted: `stop` was asked for; every run is saved.
            MinformError: a run failed; the others are saved.
        """
        try:
            while self._alive:
                stop.check()
                for process in [process for process in self._alive if process.run is None]:
                    self._hand_out(process, turns)
                for process in self._ready(_POLL_S):
                    self._hear(process, turns)
        except BaseException:
            if not stop.leaving:
                self._save_all()
            raise

    def _hand_out(self, process: _Process, turns: Turns) -> None:
        process.run = turns.take()
        if process.run is not None or not turns:
            process.send(process.run)

    def _ready(self, timeout_s: float) -> list[_Process]:
        pipes: list[Connection] = [process.pipe for process in self._alive]
        ready = wait(pipes, timeout_s)
        return [process for process in self._alive if process.pipe in ready]

    def _hear(self, process: _Process, turns: Turns) -> None:
        """Takes one message; a failure is raised, naming the run."""
        run = process.run
        match process.receive():
            case Progress() as news if run is not None:
                self._tell(run, news)
            case Finished() | Elsewhere() | Failed() | Broken() as end if run is not None:
                process.run = None
                turns.hear(run, end)
            case _:
                self._bury(process)
                if run is not None:
                    death = _death(process.process)
                    self._tell(run, Progress("failed", text=death))
                    raise MachineError(f"{run}: {death}; its last checkpoint stays, {_ADVICE}")

    def _save_all(self) -> None:
        """Asks every process to save its run and end, and waits until all have, or the grace is over."""
        for process in self._alive:
            process.send(_Stopped())
        deadline = time.monotonic() + _GRACE_S
        while self._alive and time.monotonic() < deadline:
            for process in self._ready(_POLL_S):
                if process.receive() is None:
                    self._bury(process)

    def _bury(self, process: _Process) -> None:
        """Waits for a process that has closed its pipe."""
        self._alive.remove(process)
        process.process.join(_GRACE_S)
        process.kill()


_ADVICE = "the same command goes on; fewer --jobs need less memory"


def _death(process: BaseProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        return f"its process was killed by {signal.Signals(-code).name} (out of memory?)"
    return f"its process ended with exit code {code}"


@contextmanager
def _undisturbed_start() -> Generator[None]:
    """While this is open, a process may be started.

    It does not import the script that called us (which need not be guarded by ``if __name__ == "__main__"``), and
    signals reach it only once it has decided about them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        with _blocked_signals() if hasattr(signal, "pthread_sigmask") else nullcontext():
            yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _blocked_signals() -> Generator[None]:
    resource_tracker.ensure_running()  # it would lift the block if it were started under it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, worker: Worker) -> None:
    """The process: does what comes through the pipe until None, `_Stopped` or the pipe's end."""
    try:
        _own_signals()
        assignments: queue.SimpleQueue[PlannedRun | None] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(pipe, assignments), daemon=True).start()
        while (run := assignments.get()) is not None:
            _send(pipe, worker.end_of(run, lambda news: _send(pipe, news)))
    except (KeyboardInterrupt, Interrupted):
        return  # asked to stop, and whatever was there to save is saved


def _listen(pipe: Connection, assignments: queue.SimpleQueue[PlannedRun | None]) -> None:
    """Reads the pipe beside the run, so that `_Stopped` and the parent's death are noticed at once."""
    while True:
        try:
            said: _Assignment = pipe.recv()
        except (EOFError, OSError):
            said = _Stopped()
        if isinstance(said, _Stopped):
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
