"""The tables of `variants`, `presets` and `datasets`: a name, what it means, where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from rich import box
from rich.table import Table
from rich.text import Text

from minform_cli.report.fit import Column, printable
from minform_cli.report.formats import FittedTable, render


class Named(TypedDict):
    """One thing that can be named on the command line."""

    name: str
    meaning: str
    source: str


def list_table(entries: Sequence[Named], what: str, fmt: str = "rich") -> Table | FittedTable | str:
    """`entries` in one of the formats of `formats.FORMATS`; `rich` wraps sentences at the terminal's width.

    Args:
        entries: one a line.
        what: header of the names, for example ``variant``.
        fmt: output format.
    """
    if fmt != "rich":
        return render(entries, [_column(what, "name"), _column("meaning"), _column("source")], fmt)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(what, no_wrap=True, style="bold")
    table.add_column("meaning", ratio=3, overflow="fold")
    table.add_column("source", ratio=2, overflow="fold", style="dim")
    for entry in entries:
        table.add_row(*(Text(printable(text)) for text in (entry["name"], entry["meaning"], entry["source"])))
    return table


def _column(header: str, key: str = "") -> Column:
    return Column(header, lambda entry: entry[key or header], right=False)
