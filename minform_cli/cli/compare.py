"""``minform compare``: variants over seeds, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minform_cli.cli import options, tables
from minform_cli.cli.console import caption, chosen_format, show, warn
from minform_cli.cli.one_voice import silent
from minform_cli.cli.usage import refuse_others
from minform_cli.config.names import BASELINE
from minform_cli.errors import InputError, MachineError
from minform_cli.study.options import StudyOptions
from minform_cli.tracking import check_trackers
from minform_cli.training.launch import launched

if TYPE_CHECKING:
    from minform_cli.data.source import Source
    from minform_cli.runs.progress import Progress
    from minform_cli.study.comparison import Comparison
    from minform_cli.study.plan import Plan, PlannedRun
    from minform_cli.tracking.log import Logs


def compare(
    ctx: typer.Context,
    preset: options.StudyPreset = None,
    variant: options.Variants = None,
    setting: options.Set = None,
    grid: options.Grid = None,
    study: options.Study = None,
    init: options.StudyInit = None,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Beside the run of --init, its model from chance: a row of its own.")
    ] = False,
    pretrain: Annotated[
        str | None,
        typer.Option(metavar="PRESET", help="First train every variant and seed by this preset; start from there."),
    ] = None,
    pretrain_set: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting of the runs of --pretrain.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs per variant, with seeds 0, 1, ... [default: 3].")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, help="In place of --seeds: a run's seed. Repeat it for more.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side [default: one per CPU core, one on a GPU].")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="What does the runs: processes of this command, or ray, on one machine or many.")
    ] = "processes",
    address: Annotated[
        str | None,
        typer.Option(
            help="With --engine ray: HOST:PORT of a cluster, or auto [default: RAY_ADDRESS, else a Ray of its own]."
        ),
    ] = None,
    gpus_per_run: Annotated[
        float | None, typer.Option(help="With --engine ray: GPUs of each run; 0.5 shares one [default: 1, if any].")
    ] = None,
    stack_seeds: Annotated[
        bool, typer.Option("--stack-seeds", help="Train the seeds of a variant as one model: for GPUs.")
    ] = False,
    stack_anyway: Annotated[
        bool, typer.Option("--stack-anyway", help="--stack-seeds on a CPU too, where it does not pay.")
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(min=0, help="Points of accuracy that may be lost: prints a verdict, not worse by more than that."),
    ] = None,
    against: Annotated[
        str, typer.Option(help="The variant that differences and verdicts refer to; shares stay the baseline's.")
    ] = BASELINE,
    out: Annotated[
        Path | None, typer.Option(help="The study's folder [default: runs/compare-PRESET or runs/study-STUDY].")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--from", help="Draw the study in this folder again; train nothing.")
    ] = None,
    table: tables.Table = None,
    examples: tables.Examples = None,
    columns: tables.Columns = None,
    better: tables.Better = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs with parameters, state and time; write nothing.")
    ] = False,
    log: options.Log = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    fmt: options.Format = None,
    as_json: options.Json = False,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
) -> None:
    """Train variants over seeds, then print what each saves and what it costs.

    Finished runs in the folder are reused and begun ones go on: the same command continues after a stop, and more
    seeds, variants or grid values extend the study. Its folder ends with tables and report.html.
    """
    _refuse_launch()
    shown = _Shown(chosen_format(fmt, as_json=as_json), plot, quiet)
    of_table = tables.table_options(
        table, columns, better, examples=examples, margin=margin, reference=against, out=out
    )
    if of_table is not None:
        refuse_others(ctx, "--examples" if table is None else "--table", "reads what is there", _WITH_TABLE)
        if plot is not None:
            _check_plot(plot, dry_run=False)
        tables.compare_table_file(of_table, shown.fmt, plot, quiet=quiet)
        return
    from minform_cli import api
    from minform_cli.study.comparison import check_plan, plan_comparison

    options = StudyOptions(
        preset=preset,
        variants=variant or (),
        settings=setting or (),
        seeds=_seeds(seeds, seed),
        grid=grid or (),
        study=study,
        init=init,
        scratch=scratch,
        pretrain=pretrain,
        pretrain_settings=pretrain_set or (),
        out=out,
        jobs=jobs,
        engine=engine,
        address=address,
        gpus_per_run=gpus_per_run,
        device=device,
        threads=threads,
        stack_seeds=stack_seeds,
        stack_anyway=stack_anyway,
        margin=None if margin is None else margin / 100,
        reference=against,
    )
    api.check_device(device, threads)
    check_trackers(log or ())
    if dry_run and options.on_ray is not None:
        raise InputError("--dry-run: measures on this machine; accepted: without --engine ray")
    if plot is not None:
        _check_plot(plot, dry_run=dry_run)
    if folder is not None:
        refuse_others(ctx, "--from", "reads what is there", _WITH_FROM)
        _redraw(folder, options, shown)
        return
    plan = plan_comparison(options)
    if dry_run:  # what a second stage takes is known after the first
        stage = next((stage for stage in plan.stages() if not all(run.finished for run in stage.runs)), plan)
        check_plan(stage, options)
        _show_plan(stage, options, shown)
        return
    from minform_cli.tracking.log import Logs

    with Logs(log or (), warn) as logs:
        for stage in plan.stages():
            comparison = _run(stage, options, logs, quiet=quiet)
            if stage is plan or shown.fmt not in ("csv", "json"):  # for a program there is one document
                _show(comparison, shown if stage is plan else replace(shown, plot=None))
            written = _write_files(stage.out, options, shown, stage.source)
            logs.conclude(stage.out, comparison.records, written)


@dataclass(frozen=True)
class _Shown:
    """Where results go: the format of the table, the picture if one is asked for, and whether captions are left out."""

    fmt: str
    plot: Path | None
    quiet: bool


def _refuse_launch() -> None:
    """Raises `InputError` under torchrun, whose processes would each do the whole study; one of them says it."""
    launch = launched()
    if launch is not None and launch.world_size > 1:
        with silent(*([InputError] if launch.rank > 0 else [])):
            raise InputError(
                f"compare: the {launch.world_size} processes of torchrun are for one model, and a study trains many; "
                "accepted: without torchrun, on several machines with --engine ray"
            )


def _seeds(num: int | None, each: list[int] | None) -> int | list[int] | None:
    if num is not None and each:
        raise InputError("--seed: names the seeds one by one, and --seeds says how many; accepted: one of them")
    return each or num


_WITH_FROM = ("folder", "margin", "against", "device", "fmt", "as_json", "plot", "quiet")
_WITH_TABLE = ("table", "examples", "columns", "better", "margin", "against", "out", "fmt", "as_json", "plot", "quiet")


def _check_plot(plot: Path, *, dry_run: bool) -> None:
    from minform_cli.report.plots import check_plot_path

    check_plot_path(plot)
    if dry_run:
        raise InputError("--plot: --dry-run has no results to draw")


def _run(plan: Plan, options: StudyOptions, logs: Logs, *, quiet: bool) -> Comparison:
    """Trains what is left, with live progress and, if asked for, a log of every run."""
    from minform_cli.cli.study_progress import StudyProgress
    from minform_cli.study.comparison import run_comparison
    from minform_cli.tracking.described import tracked_runs

    logs.expect(lambda: tracked_runs(plan))
    with StudyProgress(plan, quiet=quiet) as progress:
        for name, reason in plan.skipped.items():
            progress.say(f"{name} left out: {reason}")
        for note in plan.notes():
            progress.say(note)

        def tell(run: PlannedRun, news: Progress) -> None:
            progress.listen(run, news)
            logs.listen(run.folder, news)

        return run_comparison(plan, options, on_progress=tell)


def _redraw(folder: Path, options: StudyOptions, shown: _Shown) -> None:
    """Shows what the folder of a study holds, and writes its tables and its report anew."""
    from minform_cli.study.comparison import stored_comparison

    comparison, _ = stored_comparison(folder, options)
    _show(comparison, shown)
    _write_files(folder, options, shown)


def _show(comparison: Comparison, shown: _Shown) -> None:
    from minform_cli.report.compare_table import compare_caption, compare_table, study_line

    show(compare_table(comparison.records, shown.fmt))
    drawn: list[str] = []
    if shown.plot is not None:
        from minform_cli.report.plots import plot_compare

        try:
            plot_compare(comparison.records, shown.plot, study_line(comparison.results))
            drawn = [f"Drawn to {shown.plot}."]
        except (InputError, MachineError) as error:  # the study is finished, and its tables are there
            warn(str(error))
    if not shown.quiet:
        caption([*compare_caption(comparison.records, comparison.results), *comparison.notes, *drawn], shown.fmt)


def _write_files(folder: Path, options: StudyOptions, shown: _Shown, source: Source | None = None) -> list[Path]:
    """Leaves tables and report in the study's folder, once the table is on the screen."""
    from minform_cli.cli.progress import Display
    from minform_cli.study.comparison import write_files

    with Display(quiet=shown.quiet) as display:
        written = write_files(folder, options, tell=display.say, source=source)
    if not shown.quiet:
        caption([f"Written to {folder}: {', '.join(path.name for path in written)}."], shown.fmt)
    return written


def _show_plan(plan: Plan, options: StudyOptions, shown: _Shown) -> None:
    """Prints the runs of a study that is not begun, or not gone on with, now."""
    from minform_cli.cli.progress import Display
    from minform_cli.report.plan_table import plan_caption, plan_table
    from minform_cli.study.comparison import preview
    from minform_cli.study.execute import side_by_side

    with Display(quiet=shown.quiet) as display:
        records = preview(plan, options, display.say)
    show(plan_table(records, shown.fmt))
    if not shown.quiet:
        skipped = [f"{name} left out: {reason}" for name, reason in plan.skipped.items()]
        num_left = sum(not run.finished for run in plan.runs)
        together = 1 if options.stacks else side_by_side(options.jobs, options.device, num_left)
        stacks = (
            ["The seeds of each variant are trained as one model; the times are those of each alone."]
            if options.stacks
            else []
        )
        caption([*skipped, *plan.notes(), *plan_caption(records, together), *stacks], shown.fmt)
