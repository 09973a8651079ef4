"""``minform export``: a run's model as files that others load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show


def _complete_export(incomplete: str) -> list[str]:
    from minform_cli.exporting.formats import FORMATS

    return [name for name in FORMATS.names() if name.startswith(incomplete)]


def export(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    out: Annotated[Path, typer.Option(help="The folder to write; absent or empty.")],
    export_format: Annotated[
        str,
        typer.Option(
            "--format", help="safetensors, hf (transformers), onnx or torch-export.", autocompletion=_complete_export
        ),
    ] = "safetensors",
    normalise: Annotated[
        bool,
        typer.Option("--normalise", help="Normalise images inside, which then come as uint8 pixels (hf: as 0..1)."),
    ] = False,
    expand: Annotated[
        bool, typer.Option("--expand", help="hf: as a class of transformers even where that takes more numbers.")
    ] = False,
    checkpoint: Annotated[str, typer.Option(help="last, or best by the validation score.")] = "last",
    threads: options.Threads = None,
    table: Annotated[
        str | None, typer.Option("--table", help="How the table is printed: as --format of the other commands.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --table json.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a run's model for others to load, once its outputs are shown to be the same."""
    fmt = chosen_format(table, "--table", as_json=as_json)
    from minform_cli import api

    record = api.export(
        run, export_format, out, checkpoint=checkpoint, normalise=normalise, expand=expand, threads=threads
    )
    from minform_cli.report.export_table import export_caption, export_table

    show(export_table(record, fmt))
    if not quiet:
        caption(export_caption(record), fmt)
