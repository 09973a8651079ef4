"""A database ``mlflow.db`` as mlflow's SQLite store keeps it: tables of runs, their parameters, tags and metrics."""

from __future__ import annotations

from pathlib import Path

from minform_cli.errors import InputError, counted
from minform_cli.tables.records import Cell, Row, Sheet
from minform_cli.tables.sqlite import is_sqlite, opened, tables_of
from minform_cli.tables.text_files import at_least_one

_FINISHED = "FINISHED"


def is_store(path: Path) -> bool:
    """Whether it is a store of mlflow."""
    return is_sqlite(path) and tables_of(path) >= {"experiments", "runs", "params", "latest_metrics"}


def read_store(path: Path) -> Sheet:
    """The finished runs of all experiments, with parameters and the last value of each metric.

    Raises:
        InputError: the file is damaged, or no run is finished.
    """
    runs: dict[str, dict[str, Cell]] = {}
    measured: set[str] = set()
    left = 0
    with opened(path) as connection:
        query = "SELECT run_uuid, name, status, lifecycle_stage FROM runs ORDER BY start_time"
        for id, name, status, stage in connection.execute(query):
            if stage == "deleted":
                continue
            if status == _FINISHED:
                runs[id] = {"run_name": str(name or "")}
            else:
                left += 1
        for id, key, value in connection.execute("SELECT run_uuid, key, value FROM params ORDER BY key"):
            if id in runs:
                runs[id][f"params.{key}"] = str(value)
        query = "SELECT run_uuid, key, CASE WHEN is_nan THEN NULL ELSE value END FROM latest_metrics ORDER BY key"
        for id, key, value in connection.execute(query):
            if id in runs:
                runs[id][f"metrics.{key}"] = float(value) if isinstance(value, int | float) else None
                measured.add(id)
    if not runs:
        raise InputError(f"{path}: holds no finished run; accepted: runs whose status is {_FINISHED}")
    notes = [f"{counted(left, 'run')} left out: not finished (status)"] if left else []
    if runs.keys() - measured:
        notes.append(
            f"{counted(len(runs.keys() - measured), 'run')} left out: without a metric, as parents of others are"
        )
    rows = [Row(f"{path}, run {cells['run_name']!r}", cells) for id, cells in runs.items() if id in measured]
    return Sheet(
        shape="a store of mlflow",
        columns=tuple(dict.fromkeys(key for row in rows for key in row.cells)),
        rows=at_least_one(rows, path),
        aside=frozenset({"run_name"}),
        run_name="run_name",
        notes=tuple(notes),
    )
