"""``minform eval``: what a trained run is worth, from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show
from minform_cli.errors import InputError


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    setting: options.DataSet = None,
    checkpoint: Annotated[str, typer.Option(help="last, or best by the validation score.")] = "last",
    beams: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Translations: beams of the search; 1 is greedy. [default: 4 on test, else 1]"
        ),
    ] = None,
    sentences: Annotated[int, typer.Option("--show", min=0, help="Translations: show so many of them.")] = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    fmt: options.Format = None,
    as_json: options.Json = False,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure a trained run: loss, what the task measures, accuracy per class, confusion matrix (--plot draws it)."""
    fmt = chosen_format(fmt, as_json=as_json)
    if sentences and fmt == "csv":
        raise InputError(f"--show: {sentences} has no room in csv; accepted: another --format, or no --show")
    from minform_cli import api

    if plot is not None:
        from minform_cli.report.plots import check_plot_path

        check_plot_path(plot)
    record = api.evaluate(
        run, split, setting or [], checkpoint=checkpoint, device=device, threads=threads, beams=beams, show=sentences
    )
    from minform_cli.report.eval_table import eval_caption, eval_table

    if plot is not None and not record["class_names"]:
        raise InputError("--plot: draws a confusion matrix, and this run predicts no classes")
    show(eval_table(record, fmt))
    if plot is not None:
        from minform_cli.report.plots import plot_confusion

        plot_confusion(record, plot)
    if not quiet:
        caption([*eval_caption(record), *([f"Drawn to {plot}."] if plot else [])], fmt)
