"""A grid in tables and pictures: which settings a study swept, and at which values a row stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minform_cli.counting.records import grid_value, row_label
from minform_cli.report.fit import Column


def with_grid(columns: Sequence[Column], records: Sequence[Mapping[str, Any]]) -> list[Column]:
    """`columns` with those of the swept settings after the first; a column of the same name gives way."""
    swept = {_short(key): key for record in records for key in record.get("grid", {})}
    first, *others = columns
    same = {column.header: column for column in others}
    return [
        first,
        *(_column(name, key, same.get(name)) for name, key in swept.items()),
        *(column for column in others if column.header not in swept),
    ]


def row_name(record: Mapping[str, Any]) -> str:
    """The variant of a record, and its grid point if there is one."""
    return row_label(record["variant"], record.get("grid", {}))


def grid_lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was swept, and what that means for the differences."""
    values: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in record.get("grid", {}).items():
            values.setdefault(key, {})[grid_value(value)] = None
    if not values:
        return []
    swept = "; ".join(f"{key} {', '.join(seen)}" for key, seen in values.items())
    return [f"Grid: {swept}. Shares and differences refer to the baseline at the same grid point."]


def _column(name: str, key: str, same: Column | None) -> Column:
    """A setting by row; where a row of the same study was made without sweeping it, `same` says it, or a dash."""

    def text(record: Mapping[str, Any]) -> str:
        grid = record.get("grid", {})
        return grid_value(grid[key]) if key in grid else same.text(record) if same else "-"

    return Column(name, text, name=True)


def _short(key: str) -> str:
    return key.rpartition(".")[2]
