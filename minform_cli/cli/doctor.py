"""``minform doctor``: what this machine is, and what of it is in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show
from minform_cli.errors import MachineError


def doctor(
    folder: Annotated[Path, typer.Option(help="Where runs are to be written.")] = Path(),
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove decoded images and tokens from the cache; downloads stay.")
    ] = False,
    fmt: options.Format = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Look at versions, devices, cores, compiler, folder, caches, data, extras; time a matrix product. To paste.

    Exit code 0 if the machine can work, 4 if it cannot.
    """
    fmt = chosen_format(fmt, as_json=as_json)
    from minform_cli import api
    from minform_cli.report.doctor_table import doctor_caption, doctor_table

    records = api.doctor(folder, clean=clean)
    show(doctor_table(records, fmt))
    if not quiet:
        caption(doctor_caption(records), fmt)
    fatal = [record for record in records if record["state"] == "fatal"]
    if fatal:
        raise MachineError(f"{fatal[0]['section']}, {fatal[0]['name']}: {fatal[0]['value']}")
