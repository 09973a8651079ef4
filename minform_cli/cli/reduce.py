"""``minform reduce``: a trained run made smaller, and what that cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show

PLAIN_WIDTH = 80
"""Characters of a line where nothing says how wide the reader is."""


def _complete_variant(incomplete: str) -> list[str]:
    from minform_cli.config.names import variant_names

    return [name for name in variant_names() if name.startswith(incomplete)]


def reduce(
    run: Annotated[
        str, typer.Argument(help="The folder of a finished run; or hf:FOLDER, timm:NAME, torchvision:NAME.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write; absent or empty.")],
    exact: Annotated[bool, typer.Option("--exact", help="Only what can go without a change of the outputs.")] = False,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="50%[,25%]",
            help="How much stays: a share of the blocks' parameters, or parameters of the model. Several: a curve.",
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="PART[,PART]", help="What a budget may take from.")] = None,
    variant: Annotated[
        str | None,
        typer.Option(help="Force a known variant on the weights instead.", autocompletion=_complete_variant),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="NAME or NAME:PATH of a data set (glue/sst2:FOLDER), a text file, a folder of images [default: the "
            "run's own data].",
        ),
    ] = None,
    measure: Annotated[
        str | None, typer.Option(metavar="DATA", help="Likewise, what the result is measured on.")
    ] = None,
    examples: Annotated[int | None, typer.Option(help="Training examples to calibrate on [default: 384].")] = None,
    repeats: Annotated[int, typer.Option(help="Calibration samples, for an interval.")] = 1,
    data_free: Annotated[bool, typer.Option("--data-free", help="Do without data.")] = False,
    segments: Annotated[
        int | None, typer.Option(metavar="1", help="With --exact: examples are single sentences.")
    ] = None,
    heal: Annotated[
        int | None,
        typer.Option(metavar="STEPS", help="Train so many steps afterwards, following the original."),
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="With --heal: the task's labels count, too.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a healing that was stopped.")] = False,
    weights: Annotated[Path | None, typer.Option(help="File with the weights of a timm or torchvision model.")] = None,
    seed: Annotated[int, typer.Option(help="Of the calibration sample and of healing.")] = 0,
    setting: options.DataSet = None,
    threads: options.Threads = None,
    fmt: options.Format = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a trained model smaller, and measure what that cost."""
    fmt = chosen_format(fmt, as_json=as_json)
    from minform_cli import api

    asked = api.ReduceOptions(
        exact=exact,
        budgets=_listed(budget, "--budget"),
        only=_listed(only, "--only"),
        variant=variant,
        calibrate=calibrate,
        measure=measure,
        settings=setting or [],
        examples=examples,
        repeats=repeats,
        data_free=data_free,
        segments=segments,
        heal=heal,
        labels=labels,
        weights=weights,
        resume=resume,
        seed=seed,
        threads=threads,
    )
    from minform_cli.cli.progress import RunProgress

    with RunProgress(quiet=quiet) as progress:
        records = api.reduce(run, out, asked, on_progress=progress.listen)
    from minform_cli.report.reduce_table import reduce_caption, reduce_table

    show(reduce_table(records, fmt, PLAIN_WIDTH))
    if not quiet:
        caption([*reduce_caption(records), f"Written to {out}."], fmt)


def _listed(texts: list[str] | None, option: str) -> list[str]:
    """Values of an option that is repeated or holds several, separated by commas; of a number they stay."""
    from minform_cli.reducing.options import split_values

    return [value for text in texts or () for value in split_values(text, option)]
