"""The worker of a study: does a run whose folder no other process has, from its checkpoint if it was begun.

The lock of a run's folder says who does it, on one machine or on many that see one file system, and dies with its
process; nothing else is agreed upon, and there is nobody to ask. Workers of one command are handed different runs;
those of two commands in one folder meet at its locks and share the work: a run that the other command does is passed
over, and comes again later (`Turns`), when it is finished and taken as it is, or when its process has died and it goes
on from its checkpoint. So both commands end with the whole study. (Refusing the second one would have been the
alternative: then an array of jobs could not do one study, and a command that was started again would have to be told
when the last process of the first one has ended.)

What a process of its own does stands in `jobs`, in a Ray task in `on_ray`.
"""

from __future__ import annotations

import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from minform_cli.errors import Interrupted, MinformError, named
from minform_cli.files import RunFolder
from minform_cli.runs.folder import InUseError, claimed, look
from minform_cli.runs.progress import Listener, Progress
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.study.plan import PlannedRun
from minform_cli.training.prepare import Prepared

RESULT = "result.json"

AGAIN_S = 0.5
"""How long a run that another process does is left alone before its folder is looked at again."""

StudyListener = Callable[[PlannedRun, Progress], None]
"""Is told how each run goes."""


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
class Finished:
    """The end of a run: it has its result."""


@dataclass(frozen=True)
class Elsewhere:
    """It was not begun: another process has its folder."""


@dataclass(frozen=True)
class Failed:
    """It failed. The error is taken apart, as not every class of ours can be pickled."""

    kind: type[MinformError]
    message: str


@dataclass(frozen=True)
class Broken:
    """A bug, and where."""

    traceback: str


End = Finished | Elsewhere | Failed | Broken


@dataclass(frozen=True)
class Worker:
    """How runs are done.

    Attributes:
        trainer: trains one.
        device, threads: as of `execute.execute`.
        result: name of the file that a run's folder ends with.
    """

    trainer: Trainer
    device: str
    threads: int | None
    result: str = RESULT

    def do(self, run: PlannedRun, tell: Listener) -> bool:
        """Does a run to its end; whether its folder was free.

        Raises:
            MinformError: it failed.
        """
        folder = RunFolder(run.folder)
        with ExitStack() as held:
            try:
                held.enter_context(claimed(folder))
            except InUseError:
                return False
            if folder.is_finished():  # by another process, since the plan was made
                look(folder, run.config, resume=True)
                tell(_done(read_result(run.folder)))
                return True
            begun = folder.meta.is_file()
            prepared = Prepared(run.config, run.source)  # as the plan found it: nothing is looked at again
            try:
                self.trainer(
                    prepared, run.folder, resume=begun, device=self.device, threads=self.threads, on_progress=tell
                )
            except Interrupted:
                raise
            except Exception as error:
                tell(Progress("failed", text=str(error)))
                raise
        return True

    def end_of(self, run: PlannedRun, tell: Listener) -> End:
        """Does a run; its end as a value, for another process.

        Raises:
            Interrupted: a signal came; what there was to save is saved.
        """
        try:
            return Finished() if self.do(run, tell) else Elsewhere()
        except Interrupted:
            raise
        except MinformError as error:
            return Failed(type(error), str(error))
        except Exception:
            return Broken(traceback.format_exc())


class Turns:
    """The runs that are not handed out, in the order in which they are to be.

    Args:
        runs: those to do.
        tell: is told once of each run that another process does.
        again_s: how long such a run is left alone.
    """

    def __init__(self, runs: Sequence[PlannedRun], tell: StudyListener, again_s: float = AGAIN_S) -> None:
        self._waiting = deque(runs)
        self._tell, self._again_s = tell, again_s
        self._not_before: dict[Path, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def room(self, num: int) -> None:
        """Is told how many runs go side by side at most, before the first is taken; these here do not mind."""

    def take(self) -> PlannedRun | None:
        """The next run; None if there is none at the moment."""
        now = time.monotonic()
        for run in self._waiting:
            if self._not_before.get(run.folder, now) <= now:
                self._waiting.remove(run)
                return run
        return None

    def hear(self, run: PlannedRun, end: End) -> None:
        """How a run that was taken has ended: one that another process does comes again later.

        Raises:
            MinformError: it failed; the error names it.
            RuntimeError: it met a bug of ours.
        """
        match end:
            case Finished():
                return
            case Elsewhere():
                if run.folder not in self._not_before:
                    text = "another process trains it; here it is taken once it is finished, or done if that one ends"
                    self._tell(run, Progress("note", text=text))
                self._not_before[run.folder] = time.monotonic() + self._again_s
                self._waiting.append(run)
            case Failed(kind, message):
                raise kind(f"{run}: {message}")
            case Broken(found):
                raise RuntimeError(f"{run}: an error of ours in the process of the run:\n{found}")


def one_after_another(turns: Turns, worker: Worker, tell: StudyListener, check: Callable[[], None]) -> None:
    """Does the runs of `turns` in this process.

    Args:
        turns: which, in their order.
        worker: how.
        tell: is told how each goes.
        check: is called between runs and while there is none to do; raises to stop.

    Raises:
        MinformError: a run failed; the error names it.
    """
    while turns:
        check()
        run = turns.take()
        if run is None:
            time.sleep(AGAIN_S / 5)
            continue
        with named(str(run)):
            free = worker.do(run, lambda news, run=run: tell(run, news))
        turns.hear(run, Finished() if free else Elsewhere())


def _done(result: ResultRecord) -> Progress:
    """The last news of a run, from its result."""
    metrics = {name: float(value) for name, value in result["metrics"].items() if value is not None}
    epochs, steps = math.ceil(result["epochs"]), result["steps"]
    return Progress("done", epochs, epochs, steps, steps, metrics, metric=result["metric"])
