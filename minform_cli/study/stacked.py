"""Does the runs of a plan with the seeds of every variant trained as one model: one such group after another.

A group is what differs in the seed alone and stands at the same step. So a study that was stopped goes on stacked; a
seed that stands elsewhere than the others, as after a failure or a kill, is trained alone and says so. A group needs
the folders of all its seeds at once: where another process has one, the group is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from minform_cli.counting.records import grid_key, row_label
from minform_cli.errors import InputError, Interrupted, NumericalError, named
from minform_cli.files import RunFolder
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import ResultRecord
from minform_cli.study.execute import ADVICE, results_of, silent, tell_finished, threads_of
from minform_cli.study.options import StudyOptions
from minform_cli.study.plan import Plan, PlannedRun
from minform_cli.study.preview import steps_done
from minform_cli.study.worker import StudyListener, Turns, Worker, one_after_another
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.prepare import Prepared
from minform_cli.training.stackable import ON_CPU, OPTION, check_stackable, equal_but_for_the_seed

Group = Sequence[PlannedRun]


def check_stacking(plan: Plan, options: StudyOptions) -> None:
    """Raises `InputError` if what is left of `plan` cannot be done so, or should not."""
    from minform_cli.training.runtime import choose_device

    if options.jobs not in (None, 1):
        raise InputError(f"{OPTION}: one group of seeds is trained at a time; accepted: --jobs 1, not {options.jobs}")
    for config in {equal_but_for_the_seed(run.config): run.config for run in plan.runs if not run.finished}.values():
        check_stackable(config)
    if choose_device(options.device)[0].type == "cpu" and not options.stack_anyway:
        raise InputError(ON_CPU)


def groups(runs: Sequence[PlannedRun]) -> list[Group]:
    """`runs` that are not finished, by what they have in common, in the order of the first of each."""
    found: dict[tuple[str, str, int], list[PlannedRun]] = {}
    for run in runs:
        if not run.finished:
            key = equal_but_for_the_seed(run.config), grid_key(run.grid), steps_done(run)
            found.setdefault(key, []).append(run)
    return list(found.values())


def execute_stacked(
    plan: Plan, *, device: str = "auto", threads: int | None = None, on_progress: StudyListener | None = None
) -> list[ResultRecord]:
    """Does what is left of `plan`.

    Args:
        plan: what to do; `check_stacking` has nothing against it.
        device, threads, on_progress: as of `execute.execute`.

    Returns:
        The results of all runs, in the plan's order.

    Raises:
        Interrupted, MinformError: as `execute.execute`; seeds beside one that failed are finished first.
    """
    from minform_cli.training.run import train

    tell = on_progress or silent
    tell_finished(plan, tell)
    worker = Worker(train, device, threads_of(threads, device))
    left = groups(plan.runs)
    try:
        with StopRequest(ADVICE) as stop:
            stop.defer()
            for group in left:
                stop.check()
                if len(group) > 1:
                    _train(group, worker, tell)
                else:
                    _train_alone(group[0], left, worker, tell, stop.check)
    except Interrupted as stopped:
        raise Interrupted(stopped.signum, f"{stopped.signal_name}: stopped; {ADVICE}") from None
    return results_of(plan)


def _train(group: Group, worker: Worker, tell: StudyListener) -> None:
    from minform_cli.training.stacked_run import SeedRun, train_stacked

    seeds = [
        SeedRun(Prepared(run.config, run.source), run.folder, RunFolder(run.folder).meta.is_file(), partial(tell, run))
        for run in group
    ]
    tell(group[0], Progress("note", text=f"its {len(group)} seeds are trained as one model"))
    with named(f"{_row(group[0])}, {len(group)} seeds stacked"):
        ends = train_stacked(seeds, device=worker.device, threads=worker.threads)
    for run, end in zip(group, ends, strict=True):
        if isinstance(end, NumericalError):
            tell(run, Progress("failed", text=str(end)))
            raise NumericalError(f"{run}: {end}") from end


def _train_alone(
    run: PlannedRun, left: Sequence[Group], worker: Worker, tell: StudyListener, check: Callable[[], None]
) -> None:
    others = [group for group in left if run not in group and _row(group[0]) == _row(run)]
    if others:
        text = "stands at another step than the other seeds, so it is trained alone"
        tell(run, Progress("note", text=text))
    one_after_another(Turns([run], tell), worker, tell, check)


def _row(run: PlannedRun) -> str:
    return row_label(run.config.variant, run.grid)
