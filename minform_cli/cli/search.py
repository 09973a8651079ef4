"""``minform search``: good variants and sizes under a budget of parameters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show
from minform_cli.config.names import DEFAULT_PRESET

if TYPE_CHECKING:
    from minform_cli.report.records import SearchRecord


def _complete_axis(incomplete: str) -> list[str]:
    from minform_cli.config.axes.base import AXES
    from minform_cli.config.schema import known_keys

    known_keys()
    return [f"{name}=" for name in AXES if name.startswith(incomplete)]


def search(
    preset: options.Preset = DEFAULT_PRESET,
    budget: Annotated[
        str, typer.Option(help="Parameters that a model may have: 10% of the baseline's, 500k, 30000.")
    ] = "10%",
    axis: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS=KIND,KIND",
            help="Kinds to choose among: similarity=tied,pairwise. Repeat it [default: what shipped variants set].",
            autocompletion=_complete_axis,
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,VALUE",
            help="Sizes to choose among: model.dim=32,48,64. Repeat it [default: quarters of model.dim].",
        ),
    ] = None,
    setting: options.Set = None,
    trials: Annotated[int, typer.Option(min=1, help="Models to train, all commands in the folder together.")] = 30,
    limit: Annotated[
        str | None, typer.Option("--time", metavar="3h", help="Begin no more of them after that: 3h, 1h30m, 45m.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of every trial, and of what is tried [default: 1000000].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The search's folder [default: runs/search-PRESET].")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials side by side [default: one per CPU core, one on a GPU].")
    ] = None,
    engine: Annotated[str, typer.Option(help="What does the trials: processes of this command, or ray.")] = "processes",
    address: Annotated[str | None, typer.Option(help="With --engine ray: HOST:PORT of a cluster, or auto.")] = None,
    gpus_per_run: Annotated[
        float | None, typer.Option(help="With --engine ray: GPUs of each trial; 0.5 shares one.")
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    fmt: options.Format = None,
    as_json: options.Json = False,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
) -> None:
    """Find good variants and sizes under a budget of parameters.

    Every trial fits the budget before it is trained, is a stored run, and goes on only while it is among the best third
    of those with as many epochs. The same command continues after a stop; several in one folder share the trials. The
    best one ends as a variant's YAML file, with the command that proves it on fresh seeds: a search does not read the
    test set.
    """
    fmt = chosen_format(fmt, as_json=as_json)
    from minform_cli import api
    from minform_cli.searching.options import SEED, seconds_of
    from minform_cli.searching.run import plan_search

    asked = api.SearchOptions(
        preset=preset,
        budget=budget,
        axes=axis or (),
        sizes=size or (),
        settings=setting or (),
        trials=trials,
        time_s=None if limit is None else seconds_of(limit),
        seed=SEED if seed is None else seed,
        out=out,
        jobs=jobs,
        engine=engine,
        address=address,
        gpus_per_run=gpus_per_run,
        device=device,
        threads=threads,
    )
    api.check_device(device, threads)
    if plot is not None:
        from minform_cli.report.plots import check_plot_path

        check_plot_path(plot)
    planned = plan_search(asked)
    from minform_cli.cli.search_progress import SearchProgress
    from minform_cli.searching.files import write_files
    from minform_cli.searching.run import run_search

    with SearchProgress(planned, quiet=quiet) as progress:
        record = run_search(planned, on_progress=progress.listen)
        written = write_files(planned.out, record, tell=progress.say)
    _show(record, fmt, plot, quiet=quiet, written=[str(planned.out), ", ".join(path.name for path in written)])


def _show(record: SearchRecord, fmt: str, plot: Path | None, *, quiet: bool, written: list[str]) -> None:
    from minform_cli.report.search_table import search_caption, search_table

    show(search_table(record, fmt))
    drawn: list[str] = []
    if plot is not None:
        from minform_cli.report.search_html import plot_search

        plot_search(record, plot)
        drawn = [f"Drawn to {plot}."]
    if not quiet:
        caption([*search_caption(record), f"Written to {': '.join(written)}.", *drawn], fmt)
