"""Does the runs of a plan: those that are not finished, one after another, side by side, or shared by a launch.

Every run computes with one CPU thread unless told otherwise, however many run side by side: results depend on the
number of threads, and must not depend on how many jobs there happened to be.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from minform_cli.errors import InputError, Interrupted, named
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.study.jobs import Jobs
from minform_cli.study.plan import Plan, PlannedRun
from minform_cli.study.queue import Pace
from minform_cli.study.shared import Shared
from minform_cli.study.worker import Trainer, train_planned
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.launch import Launch

ADVICE = "the same command goes on from the last checkpoints"

StudyListener = Callable[[PlannedRun, Progress], None]
"""Is told how each run goes."""


def execute(
    plan: Plan,
    *,
    jobs: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    on_progress: StudyListener | None = None,
    trainer: Trainer | None = None,
    launch: Launch | None = None,
    pace: Pace | None = None,
) -> list[ResultRecord] | None:
    """Does what is left of `plan`; a run that was begun goes on from its checkpoint.

    Args:
        plan: what to do.
        jobs: how many runs side by side; None takes one per CPU core, or one on a GPU. Not with a launch.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        threads: CPU threads of each run; None takes 1 on a CPU and torch's own number beside a GPU.
        on_progress: is told how each run goes, in the calling process; in a launch also of those others finish.
        trainer: trains one run; None takes `minform_cli.training.run.train`. Must be importable by name.
        launch: this process among several that do the plan together, one run each at a time, all of which call this
            with the same plan, in a folder they all see.
        pace: how fast the processes of a launch notice each other's end; None takes what suits long runs.

    Returns:
        The results of all runs, in the plan's order; None in all processes of a launch but one, which is rank 0 or
        the lowest rank that is still alive.

    Raises:
        Interrupted: a signal came; all progress is saved, and the same call goes on from there.
        MinformError: a run failed, or its process died; the other runs' progress is saved. In a launch all
            processes raise, with the same exit code, and one says the reason in full.
    """
    check_jobs(jobs, launch)
    tell = on_progress or silent
    tell_finished(plan, tell)
    if not _do(plan, jobs, device, threads, tell, trainer, launch, pace or Pace()):
        return None
    return results_of(plan)


def tell_finished(plan: Plan, tell: StudyListener) -> None:
    """Says of each run that was finished when the plan was made that it is taken as it is."""
    for run in plan.runs:
        if run.finished:
            tell(run, Progress("note", text="finished before, taken as it is"))


def results_of(plan: Plan) -> list[ResultRecord]:
    """The results of all runs, in the plan's order, under the names of this study."""
    return [_as_named(read_result(run.folder), run) for run in plan.runs]


def check_jobs(jobs: int | None, launch: Launch | None) -> None:
    """Raises `InputError` if so many runs cannot go side by side here."""
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs: {jobs} is not a positive number")
    if jobs is not None and launch is not None:
        raise InputError(f"--jobs {jobs}: each process of a launch does one run at a time; start more of them instead")


def _do(
    plan: Plan,
    jobs: int | None,
    device: str,
    threads: int | None,
    tell: StudyListener,
    trainer: Trainer | None,
    launch: Launch | None,
    pace: Pace,
) -> bool:
    """Does the runs; whether this process is the one to return their results."""
    # One seed of every variant, then the next: whoever stops early has something to compare.
    pending = sorted((run for run in plan.runs if not run.finished), key=lambda run: run.config.seed)
    if not pending and launch is None:
        return True
    from minform_cli.training.run import train

    on_cpu, device = _placed(device, launch)
    threads = threads or (1 if on_cpu else None)
    side_by_side = min(jobs or (num_cores() if on_cpu else 1), len(pending))
    trainer = trainer or train
    try:
        with StopRequest(ADVICE) as stop:
            stop.defer()
            if launch is not None:
                return Shared(plan, launch, trainer, device, threads, tell, stop, pace).work()
            if side_by_side == 1:
                _one_after_another(pending, device, threads, tell, trainer, stop)
            else:
                with Jobs(side_by_side, trainer, device, threads, tell) as workers:
                    workers.do(pending, stop)
    except Interrupted as stopped:
        raise Interrupted(stopped.signum, f"{stopped.signal_name}: stopped; {ADVICE}") from None
    return True


def _placed(device: str, launch: Launch | None) -> tuple[bool, str]:
    """Whether the runs are done on the CPU, and the device of this process: in a launch each has a GPU of its own."""
    import torch

    from minform_cli.training.runtime import choose_device

    chosen = choose_device(device)[0]
    if launch is not None and device in ("auto", "cuda") and chosen.type == "cuda":
        device = f"cuda:{launch.local_rank % torch.cuda.device_count()}"  # more processes than GPUs share them
    return chosen.type == "cpu", device


def _one_after_another(
    pending: list[PlannedRun],
    device: str,
    threads: int | None,
    tell: StudyListener,
    trainer: Trainer,
    stop: StopRequest,
) -> None:
    for run in pending:
        stop.check()
        with named(str(run)):
            train_planned(run, trainer, device, threads, lambda news, run=run: tell(run, news))


def num_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _as_named(result: ResultRecord, run: PlannedRun) -> ResultRecord:
    """The result under the names of this study: an equal run may have been made under others."""
    named = result.copy()
    named["preset"], named["variant"], named["grid"] = run.config.preset, run.config.variant, run.grid
    return named


def silent(_run: PlannedRun, _news: Progress) -> None:
    """Nobody listens."""
