"""A folder of runs of transformers' Trainer, told by ``trainer_state.json``: the last evaluation of each run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from minform_cli.errors import InputError
from minform_cli.files import json_object
from minform_cli.tables.records import Cell, Row, Sheet
from minform_cli.tables.text_files import at_least_one

_FILE = "trainer_state.json"


def is_trainer(folder: Path) -> bool:
    """Whether such files lie in `folder` or below."""
    return next(folder.rglob(_FILE), None) is not None


def read_trainer(folder: Path) -> Sheet:
    """A row a run: of its checkpoints the one with most steps, and what was measured last there.

    Raises:
        InputError: a file is damaged, or evaluates nothing.
    """
    latest: dict[Path, tuple[int, Path, dict[str, Any]]] = {}
    for path in sorted(folder.rglob(_FILE)):
        state = json_object(path, str(path))
        step: Any = state.get("global_step")
        if not isinstance(step, int) or not isinstance(state.get("log_history"), list):
            raise InputError(f"{path} is damaged: expected global_step and log_history")
        run = path.parent.parent if path.parent.name.startswith("checkpoint-") else path.parent
        if run not in latest or latest[run][0] <= step:
            latest[run] = (step, path, state)
    rows: list[Row] = []
    for run, (_, path, state) in latest.items():
        cells: dict[str, Cell] = {"run": run.relative_to(folder).as_posix()}
        for entry in cast("list[Any]", state["log_history"]):
            if isinstance(entry, dict):
                logged = cast("dict[str, Any]", entry)
                cells |= {key: value for key, value in logged.items() if key.startswith(("eval_", "test_"))}
        if len(cells) == 1:
            raise InputError(f"{path}: nothing was evaluated in this run; expected eval_... in its log_history")
        rows.append(Row(str(path), cells))
    return Sheet(
        shape="a folder of transformers' Trainer",
        columns=tuple(dict.fromkeys(key for row in rows for key in row.cells)),
        rows=at_least_one(rows, folder),
        aside=frozenset({"run"}),
        run_name="run",
        notes=("scores are those of the last evaluation, not of the best",),
    )
