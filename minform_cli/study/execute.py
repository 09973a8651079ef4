"""Does the runs of a plan that are not finished: one after another, side by side, or by Ray.

Every run computes with one CPU thread unless told otherwise, however many run side by side: results depend on the
number of threads, and must not depend on how many jobs there happened to be.
"""

from __future__ import annotations

import os

from minform_cli.errors import InputError, Interrupted
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.study.jobs import Jobs
from minform_cli.study.on_ray import AGAIN_S as ON_RAY_AGAIN_S
from minform_cli.study.on_ray import execute_on_ray
from minform_cli.study.options import OnRay
from minform_cli.study.plan import Plan, PlannedRun
from minform_cli.study.worker import AGAIN_S, StudyListener, Trainer, Turns, Worker, one_after_another
from minform_cli.training.interrupt import StopRequest

ADVICE = "the same command goes on from the last checkpoints"


def execute(
    plan: Plan,
    *,
    jobs: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    on_progress: StudyListener | None = None,
    trainer: Trainer | None = None,
    on_ray: OnRay | None = None,
) -> list[ResultRecord]:
    """Does what is left of `plan`; a run that was begun goes on from its checkpoint.

    Two of these in one folder at once, in whatever processes, share the runs (`worker`), and both return all results.

    Args:
        plan: what to do.
        jobs: how many runs side by side; None takes one per CPU core, or one on a GPU.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        threads: CPU threads of each run; None takes 1 on a CPU and torch's own number beside a GPU.
        on_progress: is told how each run goes, in the calling process.
        trainer: trains one run; None takes `minform_cli.training.run.train`. Must be importable by name.
        on_ray: the Ray that does the runs, as many at a time as it has room for; None does them here.

    Returns:
        The results of all runs, in the plan's order.

    Raises:
        Interrupted: a signal came; all progress is saved, and the same call goes on from there.
        MinformError: a run failed, or its process died; the other runs' progress is saved.
    """
    check_jobs(jobs)
    tell = on_progress or silent
    tell_finished(plan, tell)
    # One seed of every variant, then the next: whoever stops early has something to compare.
    pending = sorted((run for run in plan.runs if not run.finished), key=lambda run: run.config.seed)
    if pending:
        turns = Turns(pending, tell, again_s_of(on_ray))
        worker = _worker(trainer, device, threads if on_ray else threads_of(threads, device))
        do(turns, worker, tell, jobs=side_by_side(jobs, device, len(pending)) if on_ray is None else 1, on_ray=on_ray)
    return results_of(plan)


def do(turns: Turns, worker: Worker, tell: StudyListener, *, jobs: int, on_ray: OnRay | None = None) -> None:
    """Does the runs of `turns` to the last one.

    Args:
        turns: hands them out.
        worker: how each is done.
        tell: is told how each goes, in the calling process.
        jobs: how many side by side, in processes of this command.
        on_ray: the Ray that does them instead, as many at a time as it has room for.

    Raises:
        Interrupted, MinformError: as of `execute`.
    """
    try:
        with StopRequest(ADVICE) as stop:
            if on_ray is not None:
                execute_on_ray(turns, on_ray, worker, tell, stop)
                return
            stop.defer()
            turns.room(jobs)
            if jobs == 1:
                one_after_another(turns, worker, tell, stop.check)
                return
            with Jobs(jobs, worker, tell) as processes:
                processes.do(turns, stop)
    except Interrupted as stopped:
        raise Interrupted(stopped.signum, f"{stopped.signal_name}: stopped; {ADVICE}") from None


def again_s_of(on_ray: OnRay | None) -> float:
    """How long a run that another process does is left alone before it is looked at again."""
    return AGAIN_S if on_ray is None else ON_RAY_AGAIN_S


def tell_finished(plan: Plan, tell: StudyListener) -> None:
    """Says of each run that was finished when the plan was made that it is taken as it is."""
    for run in plan.runs:
        if run.finished:
            tell(run, Progress("note", text="finished before, taken as it is"))


def results_of(plan: Plan) -> list[ResultRecord]:
    """The results of all runs, in the plan's order, under the names of this study."""
    return [_as_named(read_result(run.folder), run) for run in plan.runs]


def check_jobs(jobs: int | None) -> None:
    """Raises `InputError` if so many runs cannot go side by side."""
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs: {jobs} is not a positive number")


def side_by_side(jobs: int | None, device: str, num_left: int) -> int:
    """How many of `num_left` runs are done at a time; 1 at least."""
    return max(1, min(jobs or (num_cores() if _on_cpu(device) else 1), num_left))


def threads_of(threads: int | None, device: str) -> int | None:
    """CPU threads of a run on `device`, where the user asked for `threads`; None: torch's own number."""
    return threads or (1 if _on_cpu(device) else None)


def _worker(trainer: Trainer | None, device: str, threads: int | None) -> Worker:
    from minform_cli.training.run import train

    return Worker(trainer or train, device, threads)


def _on_cpu(device: str) -> bool:
    from minform_cli.training.runtime import choose_device

    return choose_device(device)[0].type == "cpu"


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
