"""One schema behind every output: records and columns in, a terminal table or text out.

People's formats (`rich`, `plain`, `markdown`, `latex`) show the columns; programs' formats (`csv`, `json`) hold the
records themselves, unrounded.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tabulate import tabulate

from minform_cli.errors import unknown_name
from minform_cli.report.fit import Column, Grid, fit

if TYPE_CHECKING:  # rich is for terminals; a table in a pipe does not wait for it
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

FORMATS = ("rich", "plain", "markdown", "latex", "csv", "json")
"""What ``--format`` accepts; the last two are for programs."""


@dataclass(frozen=True)
class FittedTable:
    """A table that arranges itself to the width of the console it is printed on."""

    records: Sequence[Any]
    columns: Sequence[Column]
    title: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        if self.title:
            yield Text(self.title, style="bold")
        for number, grid in enumerate(fit(self.records, self.columns, options.max_width, gap=1)):
            if number:
                yield Text("")
            yield _rich_table(grid, options.max_width)


Output = FittedTable | str
"""What a table function returns: something rich prints, or text to be printed as it is."""


def check_format(fmt: str, where: str = "--format") -> None:
    """Raises `InputError` if `fmt`, given by the option `where`, is none of `FORMATS`."""
    if fmt not in FORMATS:
        raise unknown_name("format", fmt, FORMATS, where)


def render(records: Sequence[Any], columns: Sequence[Column], fmt: str, width: int | None = None) -> Output:
    """`records` in one of the formats.

    Args:
        records: mappings; `csv` and `json` write them whole.
        columns: what people's formats show of them.
        fmt: one of `FORMATS`.
        width: characters that `plain` may take; None has no limit. `rich` asks its console.

    Raises:
        InputError: `fmt` is unknown.
    """
    check_format(fmt)
    if fmt == "rich":
        return FittedTable(records, columns)
    if fmt == "csv":
        return to_csv(records)
    if fmt == "json":
        return to_json(records)
    grids = fit(records, columns, width if fmt == "plain" else None, gap=2)
    return "\n\n".join(_tabulated(grid, fmt) for grid in grids)


def to_json(records: Sequence[Mapping[str, Any]]) -> str:
    """A JSON list of the records, nothing rounded; NaN and infinity are our bug and refused."""
    return json.dumps(list(records), indent=2, allow_nan=False)


def to_csv(records: Sequence[Mapping[str, Any]], leave_out: Iterable[str] = ()) -> str:
    """A header and one line a record; mappings become columns ``key.name``, lists are JSON, None is empty.

    `notes` and reasons (`why_not`) are sentences, not data, and left out; numbers known by varying names
    (`dead_parameters`) are added up.
    """
    rows = [_flat(record, {"notes", "why_not", *leave_out}) for record in records]
    header = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _flat(record: Mapping[str, Any], leave_out: set[str], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if key in leave_out:
            continue
        if key == "dead_parameters":
            flat[prefix + key] = sum(value.values())
        elif isinstance(value, Mapping):
            flat |= _flat(cast("Mapping[str, Any]", value), leave_out, f"{prefix}{key}.")
        else:
            flat[prefix + key] = json.dumps(value) if isinstance(value, list) else value
    return flat


def _rich_table(grid: Grid, width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    spare = width - grid.width(gap=1)
    gap = 2 if spare >= len(grid.headers) else 1
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, gap - 1), header_style="bold")
    for header, right in zip(grid.headers, grid.right, strict=True):
        table.add_column(Text(header), justify="right" if right else "left", overflow="fold", vertical="top")
    for row in grid.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _tabulated(grid: Grid, fmt: str) -> str:
    style = {"plain": "plain", "markdown": "pipe", "latex": "latex_booktabs"}[fmt]
    headers, rows = grid.headers, grid.rows
    if fmt == "markdown":
        headers = [_markdown_cell(header) for header in headers]
        rows = [[_markdown_cell(cell) for cell in row] for row in rows]
    align = ["right" if right else "left" for right in grid.right]
    # Number parsing off: tabulate would turn 1,000 and 98.50 into numbers of its own format.
    text = tabulate(rows, headers, tablefmt=style, colalign=align, disable_numparse=True)
    return _latex_signs(text) if fmt == "latex" else text


def _markdown_cell(cell: str) -> str:
    return re.sub(r"([\\|*_`<])", r"\\\1", cell)


def _latex_signs(text: str) -> str:
    """Plus-minus and minus in mathematical type; a hyphen inside a name stays one.

    tabulate has escaped what LaTeX reads as commands; a bar and double quotes are other signs in its usual fonts.
    """
    for sign, command in {"±": r"$\pm$", "|": r"\textbar{}", '"': r"\textquotedbl{}"}.items():
        text = text.replace(sign, command)
    return re.sub(r"(?<=[ \[])-(?=\d)", "$-$", text)
