"""One process of a launch at work: takes the next run of the shared queue until all are done."""

from __future__ import annotations

import math
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from minform_cli.errors import Interrupted, MachineError, MinformError
from minform_cli.files import RunFolder
from minform_cli.runs.folder import LOCK
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.study.plan import Plan, PlannedRun
from minform_cli.study.queue import MAX_DEATHS, Claim, Pace, Queue, is_host, open_store
from minform_cli.study.worker import Trainer, train_planned
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.launch import Launch

if TYPE_CHECKING:
    from minform_cli.study.execute import StudyListener


class Shared:
    """The work of this process: claims runs, does them, and tells of those that others finish.

    Args:
        plan: of all processes the same.
        launch: this process among them.
        trainer, device, threads: for the runs it does.
        tell: is told of its own runs as they go, and of others' when they are done.
        stop: asked between runs and while there is none to do.
        pace: how fast the processes notice each other.
    """

    def __init__(
        self,
        plan: Plan,
        launch: Launch,
        trainer: Trainer,
        device: str,
        threads: int | None,
        tell: StudyListener,
        stop: StopRequest,
        pace: Pace,
    ) -> None:
        # One seed of every variant, then the next, as everywhere.
        self._runs = sorted(plan.runs, key=lambda run: run.config.seed)
        self._launch, self._stop, self._pace, self._tell = launch, stop, pace, tell
        self._trainer, self._device, self._threads = trainer, device, threads
        self._told = {number for number, run in enumerate(self._runs) if run.finished}
        self._called_off: MinformError | None = None
        self._queue = Queue(open_store(launch, plan), launch, len(self._runs), pace)

    def work(self) -> bool:
        """Works until every run is done, by whichever process.

        Returns:
            Whether this process is the one to report: rank 0, or the lowest rank that is still alive.

        Raises:
            Interrupted: a signal came; the run is saved and given back.
            MinformError: a run failed, here or elsewhere, or the store is gone; the run under way is saved.
        """
        with self._queue as queue:
            try:
                queue.finish(*self._told)
                while not self._all_done():
                    claim = queue.take()
                    if claim is None:
                        time.sleep(self._pace.poll_s)
                    elif self._in_use(claim):
                        queue.give_back(claim.number)
                    else:
                        self._do(claim)
                while (reports := queue.reports()) is None:
                    self._stop.check()
                    time.sleep(self._pace.poll_s)
                if reports:
                    self._await_results()
            finally:
                if is_host(self._launch):
                    self._await_others()
        return reports

    def _all_done(self) -> bool:
        """Whether nothing is left to do; passes on the news meanwhile."""
        self._stop.check()
        self._queue.refresh()
        if trouble := self._queue.trouble():
            raise trouble
        self._tell_of_others()
        return all(entry.done for entry in self._queue.board.entries)

    def _in_use(self, claim: Claim) -> bool:
        """Whether a process writes in the run's folder: one that was taken for dead, or one of another command."""
        lock = self._runs[claim.number].folder / LOCK
        if not lock.exists():
            return False
        with suppress(OSError):  # which the run itself will meet and say better
            try:
                with FileLock(lock, timeout=0):
                    return False
            except Timeout:
                return True
        return False

    def _do(self, claim: Claim) -> None:
        """Does a run, and tells all how it ended."""
        run = self._runs[claim.number]
        if not RunFolder(run.folder).is_finished():  # else a process died between the result and the word of it
            try:
                self._train(run, claim)
            except Interrupted:
                if self._called_off is not None:
                    raise self._called_off from None
                raise
            except Exception as error:
                self._fail(claim, error)
                return
            self._told.add(claim.number)
        self._queue.finish(claim.number)

    def _train(self, run: PlannedRun, claim: Claim) -> None:
        if claim.deaths >= MAX_DEATHS:
            raise MachineError(
                f"given up, as {claim.deaths} processes died while they did it (out of memory?); "
                "its last checkpoint stays, the same command tries again"
            )
        if claim.taken_from is not None:
            text = f"taken over from rank {claim.taken_from.rank}, whose process is gone"
            self._tell(run, Progress("note", text=text))

        def listen(news: Progress) -> None:
            self._tell(run, news)
            self._tell_of_others()
            # Only between two steps: between an epoch and the record of it a run cannot stop. And not by a signal to
            # ourselves: torchrun's own may follow, and the second one means to leave without saving.
            if news.kind == "step" and (trouble := self._queue.trouble()):
                self._called_off = trouble
                raise Interrupted(signal.SIGTERM, str(trouble))

        train_planned(run, self._trainer, self._device, self._threads, listen)

    def _fail(self, claim: Claim, error: Exception) -> None:
        """Raises the error once all are told of it, or that of another process which was told before."""
        run, queue = self._runs[claim.number], self._queue
        with suppress(MachineError):  # without a store there is nobody to tell
            if not queue.holds(claim.number):
                return  # we were taken for dead, and another process does the run
            queue.fail(str(run), error.exit_code if isinstance(error, MinformError) else 1)
        if (told_before := queue.first_failure()) is not None:
            raise told_before from error
        if isinstance(error, MinformError):
            raise type(error)(f"{run}: {error}") from error
        raise error

    def _tell_of_others(self) -> None:
        """Says once of each run that another process has finished it, with its metrics where they can be read."""
        for number, entry in enumerate(self._queue.board.entries):
            if entry.done and number not in self._told:
                self._told.add(number)
                run = self._runs[number]
                # The file system may be slower than the store.
                seen = RunFolder(run.folder).is_finished()
                self._tell(run, _done(read_result(run.folder)) if seen else Progress("done"))

    def _await_results(self) -> None:
        """Until every result is to be seen: a shared file system may show a new file a little later than the store."""
        for run in self._runs:
            seen_until = time.monotonic() + self._pace.dead_after_s
            while not RunFolder(run.folder).is_finished() and time.monotonic() < seen_until:
                self._stop.check()
                time.sleep(self._pace.poll_s)

    def _await_others(self) -> None:
        """Keeps the store that this process has opened until all others have heard how it ended."""
        with suppress(MachineError):
            while self._stop.signum is None and not self._queue.others_are_gone():
                time.sleep(self._pace.poll_s)


def _done(result: ResultRecord) -> Progress:
    metrics = {name: float(value) for name, value in result["metrics"].items() if value is not None}
    epochs, steps = math.ceil(result["epochs"]), result["steps"]
    return Progress("done", epochs, epochs, steps, steps, metrics, metric=result["metric"])
