"""What becomes of the news of runs: points for each tracker, in order and once, and how every run ended.

A log that fails costs the log, which is said in a line, and never a run.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from filelock import FileLock

from minform_cli.errors import Interrupted
from minform_cli.files import RunFolder
from minform_cli.runs.folder import LOCK
from minform_cli.runs.progress import Progress
from minform_cli.tracking import TRACKERS
from minform_cli.tracking.described import epochs_until, final_point, study_table
from minform_cli.tracking.remembered import Entry, recall, remember
from minform_cli.tracking.tracked import IN_EPOCH, Point, State, Table, TrackedRun, TrackedStudy, Tracker

if TYPE_CHECKING:
    from minform_cli.report.records import CompareRecord

TELL_EVERY_S, EPOCHS_EVERY_S = 5.0, 1.0
"""Least time between two messages to a tracker within an epoch, and at the ends of epochs: it may be far away."""


class Logs:
    """The logs of a command: listens while it is open, and on leaving says how what is still open ended.

    Args:
        names: of trackers; none listen to nothing.
        warn: is told, once for each, that a log has failed.
    """

    def __init__(self, names: Sequence[str], warn: Callable[[str], None]) -> None:
        self._logs = [Log(name, TRACKERS.get(name).Tracker, warn) for name in dict.fromkeys(names)]
        self._runs: dict[Path, TrackedRun] = {}

    def expect(self, runs: Callable[[], Iterable[TrackedRun]]) -> None:
        """Says which runs there will be news of; nothing is asked for if nobody listens."""
        if self._logs:
            self._runs |= {run.folder: run for run in runs()}

    def listen(self, folder: Path, news: Progress) -> None:
        """Logs one piece of news of the run in `folder`."""
        for log in self._logs:
            log.listen(self._runs[folder], news)

    def conclude(self, folder: Path, records: Sequence[CompareRecord], files: Sequence[Path]) -> None:
        """Logs the end of the study in `folder`: runs of it that were finished before, if they are not logged yet, and
        its table.
        """
        runs = [run for run in self._runs.values() if run.study is not None and run.study.folder == folder]
        for log in self._logs:
            log.settle(runs)
            log.conclude(runs[0], study_table(records, files))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for log in self._logs:
            if error is None:
                log.settle([run for run in self._runs.values() if run.study is None])
            log.close(error)


class _Open:
    """A run that is told of: its entry, and points that are not sent yet."""

    def __init__(self, run: TrackedRun, entry: Entry) -> None:
        self.run, self.entry = run, entry
        self.held: list[Point] = []
        self.sent_at = time.monotonic()

    def add(self, point: Point) -> None:
        """Holds the point; what has the same step becomes one, and steps that were told before are left out."""
        if point.step <= self.entry.step:
            return
        if self.held and self.held[-1].step == point.step:
            point = Point(point.step, {**self.held.pop().metrics, **point.metrics})
        self.held.append(point)


class Log:
    """One tracker's.

    Args:
        name: of the tracker.
        make: makes what tells it, once there is something to tell.
        warn: is told that it has failed.
    """

    def __init__(self, name: str, make: Callable[[], Tracker], warn: Callable[[str], None]) -> None:
        self._name, self._make, self._warn = name, make, warn
        self._made: Tracker | None = None
        self._open: dict[Path, _Open] = {}
        self._studies: dict[Path, tuple[TrackedStudy, Entry]] = {}
        self._failed = self._run_failed = False

    def listen(self, run: TrackedRun, news: Progress) -> None:
        """One piece of news of a run."""
        if self._failed:
            return
        with self._at_the_log_s_cost():
            match news.kind:
                case "begin":
                    self._begin(run, news.step)
                case "step" if run.folder in self._open and news.metrics:
                    opened = self._open[run.folder]
                    if time.monotonic() - opened.sent_at >= TELL_EVERY_S:
                        self._send(opened)  # the latest point stays: the same step may end an epoch
                    opened.add(Point(news.step, {IN_EPOCH: news.metrics["train_loss"]}))
                case "epoch" if run.folder in self._open and news.metrics:
                    opened = self._open[run.folder]
                    opened.add(Point(news.step, {**news.metrics, "examples_per_s": news.examples_per_s}))
                    if time.monotonic() - opened.sent_at >= EPOCHS_EVERY_S:
                        self._send(opened)
                case "done" | "failed" if run.folder in self._open:
                    self._run_failed = self._run_failed or news.kind == "failed"
                    self._end(run.folder, "finished" if news.kind == "done" else "failed")
                case _:
                    return

    def settle(self, runs: Iterable[TrackedRun]) -> None:
        """Logs the finished ones of the runs that are not known as finished there.

        One that is said to run is left to the command that does it, unless its result was there before this one.
        """
        for run in runs:
            if self._failed:
                return
            with self._at_the_log_s_cost():
                if not RunFolder(run.folder).is_finished() or run.folder in self._open:
                    continue
                known = recall(run.folder, self._name, self._tracker.where)
                if known is None or known.state in ("failed", "killed") or (known.state == "running" and run.finished):
                    self._begin(run, final_point(run.folder).step)
                    self._end(run.folder, "finished")

    def conclude(self, run: TrackedRun, table: Table) -> None:
        """Ends the study of the run with its table."""
        if self._failed:
            return
        with self._at_the_log_s_cost():
            assert run.study is not None
            digest = hashlib.sha256(json.dumps([table.columns, table.rows]).encode()).hexdigest()
            self._begin_study(run.study)
            study, entry = self._studies.pop(run.study.folder)
            self._tracker.end_study(entry.id, "finished", None if entry.table == digest else table)
            remember(study.folder, self._name, replace(entry, state="finished", table=digest))

    def close(self, error: BaseException | None) -> None:
        """Ends what is open, as the error has it that the command ends with."""
        interrupted = isinstance(error, Interrupted | KeyboardInterrupt | SystemExit)
        state: State = "killed" if error is None or interrupted else "failed"
        for folder in list(self._open):
            if not self._failed:
                with self._at_the_log_s_cost():
                    self._end(folder, "killed" if self._run_failed else state)  # beside one that failed: interrupted
        for study, entry in self._studies.values():
            if not self._failed:
                with self._at_the_log_s_cost():
                    self._tracker.end_study(entry.id, state, None)
                    remember(study.folder, self._name, replace(entry, state=state))

    @property
    def _tracker(self) -> Tracker:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _begin(self, run: TrackedRun, step: int) -> None:
        parent = self._begin_study(run.study) if run.study is not None and self._tracker.nests else None
        where = self._tracker.where
        known = recall(run.folder, self._name, where)
        begun = self._tracker.begin(run, step, known and known.id, parent)
        told = known.step if known is not None and known.id == begun.id else -1
        opened = _Open(run, Entry(where, begun.id, told if begun.last is None else begun.last))
        self._open[run.folder] = opened
        remember(run.folder, self._name, opened.entry)
        for point in epochs_until(run.folder, step):
            opened.add(point)
        self._send(opened)

    def _send(self, opened: _Open) -> None:
        if opened.held:
            self._tracker.log(opened.entry.id, opened.held)
            opened.entry = replace(opened.entry, step=opened.held[-1].step)
            opened.held = []
            remember(opened.run.folder, self._name, opened.entry)
        opened.sent_at = time.monotonic()

    def _end(self, folder: Path, state: State) -> None:
        """A last step within an epoch is left out: it may end it, and a run that goes on tells it whole."""
        opened = self._open.pop(folder)
        if opened.held and set(opened.held[-1].metrics) == {IN_EPOCH}:
            opened.held.pop()
        self._send(opened)
        final = final_point(folder) if state == "finished" else Point(opened.entry.step, {})
        self._tracker.end(opened.entry.id, state, final)
        remember(folder, self._name, replace(opened.entry, state=state))

    def _begin_study(self, study: TrackedStudy) -> str:
        """The tracker's name for the study; commands that begin it at the same moment wait for each other."""
        if study.folder not in self._studies:
            with FileLock(study.folder / LOCK):
                where = self._tracker.where
                known = recall(study.folder, self._name, where)
                id = self._tracker.begin_study(study, known and known.id)
                entry = Entry(where, id, table=known.table if known is not None and known.id == id else "")
                remember(study.folder, self._name, entry)
            self._studies[study.folder] = study, entry
        return self._studies[study.folder][1].id

    @contextmanager
    def _at_the_log_s_cost(self) -> Generator[None]:
        try:
            yield
        except Interrupted:
            raise
        except Exception as error:
            said = (str(error).splitlines() or [""])[0] or type(error).__name__
            self._warn(f"--log {self._name} ends here: {said}")
            self._failed = True
