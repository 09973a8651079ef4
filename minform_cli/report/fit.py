"""Fits a table to the width of a terminal without ever cropping a number.

Tried in this order: everything as it is; short headers and long names broken at ``+``; names also broken at ``-``,
``/`` and ``.``; the table split into its blocks, each opening with the key column; as many columns at a time as fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len

_PLUS = r"(?<=.)(?=\+)"
_ANYWHERE = r"(?<=.)(?=[+\-])|(?<=[/.=])(?=.)"


@dataclass(frozen=True)
class Column:
    """One column of a table for people.

    Attributes:
        header: what stands above it.
        text: the cell of a record.
        right: whether cells are aligned to the right, as numbers are.
        name: whether cells are names that may be broken where room is short; such a column opens every block.
        short: header where room is short.
        narrow: cell where room is short; may have several lines.
        block: which of the tables the column goes to when one table does not fit.
        in_narrow: whether another column's `narrow` cell says it too, so that it is left out where room is short.
    """

    header: str
    text: Callable[[Any], str]
    right: bool = True
    name: bool = False
    short: str | None = None
    narrow: Callable[[Any], str] | None = None
    block: int = 0
    in_narrow: bool = False


@dataclass(frozen=True)
class Grid:
    """The cells of one table, ready to print; a cell may have several lines."""

    headers: list[str]
    rows: list[list[str]]
    right: list[bool]

    def width(self, gap: int) -> int:
        """Characters that a line of the grid takes, with `gap` spaces between its columns."""
        lines = zip(self.headers, *self.rows, strict=True)
        return sum(max(_cell_width(cell) for cell in cells) for cells in lines) + gap * (len(self.headers) - 1)


def fit(records: Sequence[Any], columns: Sequence[Column], width: int | None, gap: int) -> list[Grid]:
    """The widest arrangement that fits.

    Args:
        records: one a row.
        columns: of the table.
        width: characters there are; None has no limit.
        gap: least number of spaces between two columns.

    Returns:
        One grid, or several to be printed below each other.
    """
    for grids in _arrangements(records, columns):
        if width is None or all(grid.width(gap) <= width for grid in grids):
            return grids
    return _few_at_a_time(records, columns, width or 0, gap)


def printable(text: str) -> str:
    """`text` with control characters spelled out, so that a name cannot steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int) -> str:
    """`text` as it may be printed, in at most so many characters: of what is longer both ends, the last one longer."""
    shown = printable(text)
    if len(shown) <= most:
        return shown
    start = (most - 3) // 4
    return f"{shown[:start]}...{shown[len(shown) - (most - 3 - start) :]}"


def _arrangements(records: Sequence[Any], columns: Sequence[Column]) -> Iterator[list[Grid]]:
    blocks = [
        [column for column in columns if column.name or column.block == block]
        for block in sorted({column.block for column in columns})
    ]
    for tables in ([list(columns)], blocks):
        yield [_grid(records, table) for table in tables]
        yield [_grid(records, table, _PLUS) for table in tables]
        yield [_grid(records, table, _ANYWHERE) for table in tables]


def _few_at_a_time(records: Sequence[Any], columns: Sequence[Column], width: int, gap: int) -> list[Grid]:
    """Tables of the names and as many further columns as fit, at least one."""
    names = [column for column in columns if column.name]
    tables: list[list[Column]] = [[]]
    for column in columns:
        if column.name:
            continue
        if tables[-1] and _grid(records, [*names, *tables[-1], column], _ANYWHERE).width(gap) > width:
            tables.append([])
        tables[-1].append(column)
    return [_grid(records, [*names, *table], _ANYWHERE) for table in tables]


def _grid(records: Sequence[Any], columns: Sequence[Column], breaks: str = "") -> Grid:
    """Cells of `columns`; with `breaks`, a pattern of the places where names may break, the narrow forms."""
    if breaks:
        columns = [column for column in columns if not column.in_narrow]
    limit = max((_longest_piece(c.text(r), breaks) for c in columns if c.name for r in records), default=0)

    def cell(column: Column, record: Any) -> str:
        if not breaks:
            return printable(column.text(record))
        if column.name:
            return _broken(printable(column.text(record)), breaks, limit)
        return column.narrow(record) if column.narrow else printable(column.text(record))

    headers = [column.short if breaks and column.short is not None else column.header for column in columns]
    rows = [[cell(column, record) for column in columns] for record in records]
    return Grid(headers, rows, [column.right for column in columns])


def _longest_piece(text: str, breaks: str) -> int:
    return max(cell_len(piece) for piece in re.split(breaks, text)) if breaks else 0


def _broken(text: str, breaks: str, limit: int) -> str:
    """`text` in lines of at most `limit` characters, broken only where `breaks` matches."""
    lines = [""]
    for piece in re.split(breaks, text):
        if lines[-1] and cell_len(lines[-1] + piece) > limit:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _cell_width(cell: str) -> int:
    return max(cell_len(line) for line in cell.split("\n"))
