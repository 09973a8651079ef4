"""``minform runs``: the runs and studies in a folder; ``--prune`` removes interrupted runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, one_line, show
from minform_cli.errors import InputError, MachineError, counted

if TYPE_CHECKING:
    from minform_cli.runs.records import ListedRecord


def runs(
    folder: Annotated[Path, typer.Argument(help="Where to look, and in all folders below.")] = Path("runs"),
    prune: Annotated[bool, typer.Option("--prune", help="Remove the interrupted runs there, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --prune: do not ask.")] = False,
    fmt: options.Format = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List the runs and studies in a folder: state, what they are, score, age, size.

    An interrupted run was begun, and no process has it: train --resume or compare goes on with it.
    """
    fmt = chosen_format(fmt, as_json=as_json)
    if yes and not prune:
        raise InputError("--yes: answers what --prune asks; accepted: beside it")
    if prune and not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError("--prune: nothing was removed, as there is no terminal to ask on; accepted: --prune --yes")
    from minform_cli.report.runs_table import runs_caption, runs_table
    from minform_cli.study.listing import list_folder

    found = list_folder(folder)
    records, failures = found.records, []
    if prune:
        records = [each for each in records if each["kind"] == "run" and each["state"] == "interrupted"]
        if not yes and records and not _agreed(records):
            caption(["Nothing was removed."], fmt)
            return
        failures = [failure for record in records if (failure := _removed(record)) is not None]
    show(runs_table(records, fmt))
    if not quiet:
        nothing = ["Nothing to remove: no interrupted run lies here."] if prune and not records else []
        caption(nothing or runs_caption(records, found.notes), fmt)
    if failures:
        raise MachineError(failures[0])


def _agreed(records: list[ListedRecord]) -> bool:
    """Asks on the terminal, once it is said what would go."""
    from minform_cli.report.numbers import scaled

    for record in records:
        print(one_line(record["folder"]), file=sys.stderr)
    size = scaled(sum(record["size_bytes"] for record in records), "B")
    return typer.confirm(f"Remove {counted(len(records), 'interrupted run')}, {size}?", err=True)


def _removed(record: ListedRecord) -> str | None:
    """Removes the run of `record`, which then says so, or why not; what failed of the machine's."""
    from minform_cli import api

    try:
        api.remove_run(record["folder"])
    except (InputError, MachineError) as error:
        record["problem"] = str(error)
        return str(error) if isinstance(error, MachineError) else None
    record["state"] = "removed"
    return None
