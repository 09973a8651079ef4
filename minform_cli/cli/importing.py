"""``minform import``: another library's weights as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show


def import_model(
    source: Annotated[
        str, typer.Argument(help="hf:FOLDER, timm:NAME or torchvision:NAME with --weights, or run:FOLDER of ours.")
    ],
    out: Annotated[Path, typer.Option(help="The run folder to write; absent or empty.")],
    weights: Annotated[
        Path | None, typer.Option(help="File with the weights of a timm or torchvision model: .safetensors or .pth.")
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            help="Text without a head: read the mean, the pooler or the class-token [default: as its files say]."
        ),
    ] = None,
    seq_len: Annotated[
        int | None,
        typer.Option("--seq-len", min=4, help="Text: tokens of the longest example [default: as its files say]."),
    ] = None,
    fmt: options.Format = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a run of a trained model of another library, once its outputs are shown to be the same."""
    fmt = chosen_format(fmt, as_json=as_json)
    from minform_cli import api

    record = api.import_model(source, out, weights=weights, pooling=pooling, seq_len=seq_len)
    from minform_cli.report.import_table import import_caption, import_table

    show(import_table(record, fmt))
    if not quiet:
        caption(import_caption(record), fmt)
