"""A study before it is done: each run with its parameters, its state, and the time it will take."""

from __future__ import annotations

from collections.abc import Callable

from minform_cli.counting.records import row_key
from minform_cli.files import RunFolder
from minform_cli.report.records import PlanRecord
from minform_cli.study.plan import Plan, PlannedRun
from minform_cli.study.summary import count_plan


def preview(
    plan: Plan, *, device: str = "auto", threads: int | None = None, tell: Callable[[str], None] | None = None
) -> list[PlanRecord]:
    """The plan's runs in its order. Every model that has work left is timed for a second or so; nothing is written.

    Args:
        plan: what would be done.
        device: as for `execute`.
        threads: CPU threads of each run; None takes what `execute` takes.
        tell: is told which model is being timed.
    """
    from minform_cli.study.execute import threads_of
    from minform_cli.training.timing import Speed, time_run

    threads = threads_of(threads, device)
    counts = {row_key(count["variant"], count.get("grid", {})): count["parameters"] for count in count_plan(plan)}
    speeds: dict[tuple[str, str], Speed] = {}
    records: list[PlanRecord] = []
    for run in plan.runs:
        row = row_key(run.config.variant, run.grid)
        if not run.finished and row not in speeds:
            if tell is not None:
                tell(f"timing {run}")
            speeds[row] = time_run(run.config, run.source, device=device, threads=threads)
        records.append(
            PlanRecord(
                preset=plan.preset,
                variant=run.config.variant,
                grid=run.grid,
                seed=run.config.seed,
                parameters=counts[row],
                state="finished" if run.finished else "begun" if run.begun else "to do",
                seconds=0.0 if run.finished else speeds[row].seconds(steps_done(run)),
                folder=str(run.folder),
            )
        )
    return records


def steps_done(run: PlannedRun) -> int:
    """Steps in the run's last checkpoint."""
    from minform_cli.runs.stored import read_run

    return read_run(run.folder).checkpoint().state.step if RunFolder(run.folder).checkpoint.is_file() else 0
