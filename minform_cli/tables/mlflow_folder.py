"""A folder ``mlruns`` as mlflow's file store leaves it: a folder an experiment, in it one a run."""

from __future__ import annotations

from pathlib import Path

from minform_cli.errors import InputError, counted
from minform_cli.tables.records import Cell, Row, Sheet
from minform_cli.tables.text_files import at_least_one, read_text

_FINISHED = "3"
"""What ``status`` in ``meta.yaml`` says of a run that ended well."""


def is_mlflow(folder: Path) -> bool:
    """Whether runs of mlflow lie below `folder`."""
    return any((meta.parent / "metrics").is_dir() for meta in folder.glob("*/*/meta.yaml"))


def read_mlflow(folder: Path) -> Sheet:
    """The finished runs, with parameters and the last value of each metric.

    Raises:
        InputError: a file is damaged, or no run is finished.
    """
    rows: list[Row] = []
    columns: dict[str, None] = {"run_name": None}
    left = 0
    for meta in sorted(folder.glob("*/*/meta.yaml")):
        told = dict(line.split(": ", 1) for line in read_text(meta).splitlines() if ": " in line)
        if "run_id" not in told or told.get("lifecycle_stage") == "deleted":
            continue
        if told.get("status") != _FINISHED:
            left += 1
            continue
        cells: dict[str, Cell] = {"run_name": told.get("run_name", "").strip("'\"")}
        for path in _files(meta.parent / "params"):
            cells[f"params.{path.relative_to(meta.parent / 'params').as_posix()}"] = read_text(path).strip()
        for path in _files(meta.parent / "metrics"):
            cells[f"metrics.{path.relative_to(meta.parent / 'metrics').as_posix()}"] = _last(path)
        columns |= dict.fromkeys(cells)
        rows.append(Row(str(meta.parent), cells))
    notes = (f"{counted(left, 'run')} left out: not finished (status)",) if left else ()
    return Sheet(
        shape="a folder of mlflow",
        columns=tuple(columns),
        rows=at_least_one(rows, folder),
        aside=frozenset({"run_name"}),
        run_name="run_name",
        notes=notes,
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _last(path: Path) -> float:
    """The value of the last step in a metric's file, whose lines are time, value and step."""
    found: list[tuple[int, int, float]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            time, value, *step = line.split()
            found.append((int(step[0]) if step else 0, int(time), float(value)))
        except ValueError:
            raise InputError(f"{path}, line {number}: expected time, value and step, not {line!r}") from None
    if not found:
        raise InputError(f"{path}: is empty; expected time, value and step")
    return max(found, key=lambda each: each[:2])[2]
