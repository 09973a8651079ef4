"""A project of trackio: an SQLite file with a line a step in `metrics` and a line a run in `configs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError, counted
from minform_cli.tables.records import Cell, Row, Sheet
from minform_cli.tables.sqlite import is_sqlite, opened, tables_of
from minform_cli.tables.text_files import at_least_one, flat


def is_trackio(path: Path) -> bool:
    """Whether it is a project of trackio."""
    return is_sqlite(path) and tables_of(path) >= {"metrics", "configs"}


def read_trackio(path: Path) -> Sheet:
    """The runs, with their configs and the last value of each metric; without those that have none, but a table.

    Raises:
        InputError: the file is damaged, or holds no run.
    """
    runs: dict[str, dict[str, Cell]] = {}
    with opened(path) as connection:
        for name, config in connection.execute("SELECT run_name, config FROM configs ORDER BY id"):
            found = {f"config.{key}": value for key, value in _object(config, path).items()}
            runs.setdefault(str(name), {"run_name": str(name)}).update(found)
        for name, metrics in connection.execute("SELECT run_name, metrics FROM metrics ORDER BY step, id"):
            runs.setdefault(str(name), {"run_name": str(name)}).update(_object(metrics, path))
    measured = {name: cells for name, cells in runs.items() if any(_is_metric(*cell) for cell in cells.items())}
    left = len(runs) - len(measured)
    rows = [Row(f"{path}, run {name!r}", cells) for name, cells in measured.items()]
    columns = tuple(dict.fromkeys(key for cells in measured.values() for key in cells))
    aside = frozenset({"run_name", *(name for name in columns if name.startswith("config._"))})
    return Sheet(
        shape="a project of trackio",
        columns=columns,
        rows=at_least_one(rows, path),
        aside=aside,
        run_name="run_name",
        notes=(f"{counted(left, 'run')} left out: without a metric",) if left else (),
    )


def _is_metric(key: str, value: Cell) -> bool:
    return isinstance(value, int | float) and not key.startswith("config.")


def _object(text: Any, path: Path) -> dict[str, Cell]:
    try:
        value: Any = json.loads(text)
    except (ValueError, TypeError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: expected JSON objects in metrics and configs")
    return flat(value)
