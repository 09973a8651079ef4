"""Runs side by side, each in a process of its own: hands out runs, passes on news, leaves no process behind.

Every process has a pipe of its own, so that one killed at any moment cannot damage what the others say.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self

from minform_cli.errors import MachineError
from minform_cli.runs.progress import Progress
from minform_cli.study.plan import PlannedRun
from minform_cli.study.worker import Assignment, Broken, Failed, Finished, News, Stopped, Trainer, work
from minform_cli.training.interrupt import StopRequest

_POLL_S = 0.2
"""How often a signal is looked for while no run has news."""

_GRACE_S = 60.0
"""How long a run may take to save itself; a step of a large model is not interrupted."""


class _Worker:
    """One process, the parent's end of its pipe, and the run it is doing."""

    def __init__(self, trainer: Trainer, device: str, threads: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(theirs, trainer, device, threads))
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

    def send(self, assignment: Assignment) -> None:
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

    def __init__(
        self,
        num: int,
        trainer: Trainer,
        device: str,
        threads: int | None,
        tell: Callable[[PlannedRun, Progress], None],
    ) -> None:
        self._tell = tell
        self._alive: list[_Worker] = []
        self._start = lambda: _Worker(trainer, device, threads)
        self._num = num

    def __enter__(self) -> Self:
        for _ in range(self._num):
            self._alive.append(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._alive:
            worker.kill()

    def do(self, runs: Sequence[PlannedRun], stop: StopRequest) -> None:
        """Does `runs`, in their order as far as that goes side by side.

        Raises:
            Interrupted: `stop` was asked for; every run is saved.
            MinformError: a run failed; the others are saved.
        """
        waiting = list(runs)
        for worker in self._alive:
            self._next(worker, waiting)
        try:
            while self._alive:
                stop.check()
                for worker in self._ready(_POLL_S):
                    self._hear(worker, waiting)
        except BaseException:
            if not stop.leaving:
                self._save_all()
            raise

    def _next(self, worker: _Worker, waiting: list[PlannedRun]) -> None:
        worker.run = waiting.pop(0) if waiting else None
        worker.send(worker.run)

    def _ready(self, timeout_s: float) -> list[_Worker]:
        pipes: list[Connection] = [worker.pipe for worker in self._alive]
        ready = wait(pipes, timeout_s)
        return [worker for worker in self._alive if worker.pipe in ready]

    def _hear(self, worker: _Worker, waiting: list[PlannedRun]) -> None:
        """Takes one message; a failure is raised, naming the run."""
        run = worker.run
        match worker.receive():
            case News(progress) if run is not None:
                self._tell(run, progress)
            case Finished():
                self._next(worker, waiting)
            case Failed(kind, message):
                raise kind(f"{run}: {message}")
            case Broken(traceback):
                raise RuntimeError(f"{run}: an error of ours in the process of the run:\n{traceback}")
            case _:
                self._bury(worker)
                if run is not None:
                    raise MachineError(f"{run}: {_death(worker.process)}; its last checkpoint stays, {_ADVICE}")

    def _save_all(self) -> None:
        """Asks every process to save its run and end, and waits until all have, or the grace is over."""
        for worker in self._alive:
            worker.send(Stopped())
        deadline = time.monotonic() + _GRACE_S
        while self._alive and time.monotonic() < deadline:
            for worker in self._ready(_POLL_S):
                if worker.receive() is None:
                    self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        """Waits for a process that has closed its pipe."""
        self._alive.remove(worker)
        worker.process.join(_GRACE_S)
        worker.kill()


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
