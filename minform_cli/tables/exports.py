"""CSV that wandb, mlflow, Optuna and trackio are exported to: their own columns set aside, unfinished runs left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from minform_cli.errors import InputError, counted
from minform_cli.tables import trackio
from minform_cli.tables.records import Sheet
from minform_cli.tables.text_files import at_least_one

_WANDB = frozenset({"ID", "State", "Notes", "User", "Tags", "Created", "Runtime", "Sweep", "_wandb", "Description"})
_MLFLOW = frozenset({"run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time"})
_TRIALS = frozenset({"number", "datetime_start", "datetime_complete", "duration", "state"})


def recognised(sheet: Sheet, path: Path) -> Sheet:
    """The sheet of a CSV file, known for what it is if it is one of these exports.

    Raises:
        InputError: none of its runs is finished.
    """
    columns = set(sheet.columns)
    if columns >= {"Name", "State", "Runtime"}:
        wandb = replace(sheet, shape="wandb's table of runs", aside=_WANDB, run_name="Name")
        return only(wandb, path, "State", ("finished",))
    if columns >= {"run_id", "status"} and any(name.startswith(("metrics.", "params.")) for name in columns):
        aside = _MLFLOW | {name for name in columns if name.startswith("tags.")}
        name = "tags.mlflow.runName"
        mlflow = replace(sheet, shape="mlflow's table of runs", aside=aside, run_name=name if name in columns else None)
        return only(mlflow, path, "status", ("FINISHED",))
    if columns >= {"number", "value", "state"} and any(name.startswith("params_") for name in columns):
        aside = _TRIALS | {name for name in columns if name.startswith("system_attrs_")}
        trials = replace(sheet, shape="Optuna's table of trials", aside=aside, score="value")
        return only(trials, path, "state", ("COMPLETE",))
    return trackio.recognised(sheet, path)


def only(sheet: Sheet, path: Path, column: str, wanted: tuple[str, ...]) -> Sheet:
    """The rows whose `column` says one of `wanted`, with a note of how many others there are."""
    rows = [row for row in sheet.rows if str(row.cells.get(column, "")) in wanted]
    if not rows:
        raise InputError(f"{path}: none of its {counted(len(sheet.rows), 'run')} is finished ({column} {wanted[0]})")
    left = len(sheet.rows) - len(rows)
    notes = [f"{counted(left, 'run')} left out: not finished ({column})"] if left else []
    return replace(sheet, rows=at_least_one(rows, path), notes=(*sheet.notes, *notes))
