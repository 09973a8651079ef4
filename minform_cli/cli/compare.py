"""``minform compare``: variants over seeds, and what each costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show
from minform_cli.errors import InputError

if TYPE_CHECKING:
    from minform_cli.study.plan import Plan


def compare(
    preset: options.StudyPreset = None,
    variant: options.Variants = None,
    setting: options.Set = None,
    grid: options.Grid = None,
    study: options.Study = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs per variant, with seeds 0, 1, ... [default: 3].")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side [default: one per CPU core, one on a GPU].")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(min=0, help="Points of accuracy that may be lost: prints a verdict, not worse by more than that."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The study's folder [default: runs/compare-PRESET or runs/study-STUDY].")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs with parameters and state; write nothing.")
    ] = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    fmt: options.Format = None,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
) -> None:
    """Train variants over seeds, then print what each saves and what it costs.

    Finished runs in the folder are reused and begun ones go on: the same command continues after a stop.
    """
    fmt = chosen_format(fmt)
    from minform_cli import api

    if plot is not None and dry_run:
        raise InputError("--plot: --dry-run has no results to draw")
    if plot is not None:
        from minform_cli.report.plots import check_plot_path

        check_plot_path(plot)
    plan = api.planned_comparison(
        preset, variant or [], setting or [], seeds=seeds, out=out, grid=grid or [], study=study
    )
    if dry_run:
        _show_plan(plan, fmt, quiet=quiet)
        return
    from minform_cli.cli.study_progress import StudyProgress
    from minform_cli.report.compare_table import compare_caption, compare_table, study_line

    with StudyProgress(plan, quiet=quiet) as progress:
        for name, reason in plan.skipped.items():
            progress.say(f"{name} left out: {reason}")
        records, results = api.run_comparison(
            plan,
            jobs=jobs,
            device=device,
            threads=threads,
            margin=None if margin is None else margin / 100,
            on_progress=progress.listen,
        )
    show(compare_table(records, fmt))
    if plot is not None:
        from minform_cli.report.plots import plot_compare

        plot_compare(records, plot, study_line(results))
    if not quiet:
        caption([*compare_caption(records, results), *([f"Drawn to {plot}."] if plot else [])], fmt)


def _show_plan(plan: Plan, fmt: str, *, quiet: bool) -> None:
    """Prints the runs of a study that is not begun, or not gone on with, now."""
    from minform_cli import api
    from minform_cli.report.plan_table import plan_caption, plan_table

    records = api.planned_runs(plan)
    show(plan_table(records, fmt))
    if not quiet:
        skipped = [f"{name} left out: {reason}" for name, reason in plan.skipped.items()]
        caption([*skipped, *plan_caption(records)], fmt)
