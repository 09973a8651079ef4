"""Projects of trackio: its SQLite file, the folder of those, and the Parquet files that it exports.

Each has a line a step in `metrics` and a line a run in `configs`. Two runs may bear one name and differ in `run_id`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError, counted
from minform_cli.tables.parquet import read_parquet
from minform_cli.tables.records import Cell, Row, Sheet
from minform_cli.tables.sqlite import columns_of, is_sqlite, opened, tables_of
from minform_cli.tables.text_files import at_least_one, flat

_CONFIG = "config."
_STEP = frozenset({"id", "run_id", "timestamp", "run_name", "step", "log_id", "space_id"})
"""Columns of a line of `metrics` beside the metrics."""
_RUN = frozenset({"id", "run_id", "run_name", "created_at"})
"""Columns of a line of `configs` beside the settings."""

Told = tuple[str, str, Mapping[str, Cell]]
"""What a line says: what tells its run apart, the run's name, and values by name."""


def is_trackio(path: Path) -> bool:
    """Whether it is a project of trackio."""
    return is_sqlite(path) and tables_of(path) >= {"metrics", "configs"}


def read_trackio(path: Path) -> Sheet:
    """The runs, with their configs and the last value of each metric; without those that have none, but a table.

    Raises:
        InputError: the file is damaged, or holds no run.
    """
    with opened(path) as connection:
        if "run_id" in columns_of(connection, "metrics"):
            configs = connection.execute("SELECT run_id, run_name, config FROM configs ORDER BY id").fetchall()
            steps = connection.execute("SELECT run_id, run_name, metrics FROM metrics ORDER BY step, id").fetchall()
        else:  # before 0.20
            configs = connection.execute("SELECT run_name, run_name, config FROM configs ORDER BY id").fetchall()
            steps = connection.execute("SELECT run_name, run_name, metrics FROM metrics ORDER BY step, id").fetchall()
    return _sheet(path, *([(run, name, _object(each, path)) for run, name, each in told] for told in (configs, steps)))


def is_trackio_folder(path: Path) -> bool:
    """Whether projects of trackio lie there: its own folder of them, or one that it exported."""
    return _exported(path).is_file() or any(map(is_trackio, path.glob("*.db")))


def read_trackio_folder(path: Path) -> Sheet:
    """The one project in it, as `read_trackio`.

    Raises:
        InputError: there are several, or it is damaged.
    """
    if _exported(path).is_file():
        return recognised(read_parquet(_exported(path)), _exported(path))
    projects = sorted(each for each in path.glob("*.db") if is_trackio(each))
    if len(projects) > 1:
        there = ", ".join(map(str, projects))
        raise InputError(f"{path}: holds {len(projects)} projects of trackio; accepted: one of {there}")
    return read_trackio(projects[0])


def recognised(sheet: Sheet, path: Path) -> Sheet:
    """The sheet of a file whose rows are the steps of runs, as trackio exports them: a row a run, configs as beside it.

    Raises:
        InputError: it holds no run.
    """
    if not {"run_name", "step", "timestamp"} <= {*sheet.columns}:
        return sheet
    beside = (path.parent / "aux" / "configs.parquet", path.with_name(f"{path.stem}_configs.parquet"))
    configs = next((read_parquet(each).rows for each in beside if each.is_file()), ())
    steps = sorted(sheet.rows, key=lambda row: _number(row.cells.get("step")) or 0.0)
    return _sheet(path, _told(configs, _RUN), _told(steps, _STEP))


def _exported(folder: Path) -> Path:
    return folder / "metrics.parquet"


def _number(cell: Cell) -> float | None:
    try:
        return None if cell is None else float(cell)
    except ValueError:
        return None


def _told(rows: Iterable[Row], aside: frozenset[str]) -> list[Told]:
    return [
        (
            str(row.cells.get("run_id") or row.cells.get("run_name")),
            str(row.cells.get("run_name")),
            {key: value for key, value in row.cells.items() if key not in aside and value not in (None, "")},
        )
        for row in rows
    ]


def _sheet(path: Path, configs: Sequence[Told], steps: Sequence[Told]) -> Sheet:
    runs: dict[str, dict[str, Cell]] = {}
    for run, name, told in configs:
        found = {f"{_CONFIG}{key}": value for key, value in told.items()}
        runs.setdefault(run, {"run_name": name}).update(found)
    for run, name, told in steps:
        runs.setdefault(run, {"run_name": name}).update(told)
    measured = [cells for cells in runs.values() if any(_is_metric(*cell) for cell in cells.items())]
    left = len(runs) - len(measured)
    rows = [Row(f"{path}, run {cells['run_name']!r}", cells) for cells in measured]
    columns = tuple(dict.fromkeys(key for cells in measured for key in cells))
    aside = frozenset({"run_name", *(name for name in columns if name.startswith(f"{_CONFIG}_"))})
    return Sheet(
        shape="a project of trackio",
        columns=columns,
        rows=at_least_one(rows, path),
        aside=aside,
        run_name="run_name",
        notes=(f"{counted(left, 'run')} left out: without a metric",) if left else (),
    )


def _is_metric(key: str, value: Cell) -> bool:
    return key != "run_name" and not key.startswith(_CONFIG) and _number(value) is not None


def _object(text: Any, path: Path) -> dict[str, Cell]:
    try:
        value: Any = json.loads(text)
    except (ValueError, TypeError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: expected JSON objects in metrics and configs")
    return flat(value)
