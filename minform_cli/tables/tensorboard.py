"""A folder of TensorBoard's event files, a folder a run, read by tensorboard (extra ``tensorboard``)."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError
from minform_cli.tables.records import Cell, Row, Sheet
from minform_cli.tables.text_files import at_least_one

_FILES = "events.out.tfevents.*"


def is_tensorboard(folder: Path) -> bool:
    """Whether event files lie in `folder` or below."""
    return next(folder.rglob(_FILES), None) is not None


def read_tensorboard(folder: Path) -> Sheet:
    """A row a folder with event files, which names the run, with the last value of each scalar.

    Raises:
        InputError: tensorboard is not installed, or nothing can be read.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            f"{folder}: event files need tensorboard, which is not installed; try: pip install 'minform[tensorboard]'"
        )
    logger = logging.getLogger("tensorboard")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # of the files of several processes, for one
    try:
        events: Any = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
        rows = [_row(run, folder, events) for run in sorted({path.parent for path in folder.rglob(_FILES)})]
    finally:
        logger.setLevel(level)
    found = [row for row in rows if len(row.cells) > 1]
    return Sheet(
        shape="a folder of TensorBoard",
        columns=tuple(dict.fromkeys(key for row in found for key in row.cells)),
        rows=at_least_one(found, folder),
        aside=frozenset({"run"}),
        run_name="run",
    )


def _row(run: Path, folder: Path, events: Any) -> Row:
    cells: dict[str, Cell] = {"run": run.relative_to(folder).as_posix()}
    try:
        read = events.EventAccumulator(str(run), size_guidance={events.SCALARS: 1, events.TENSORS: 1})
        read.Reload()
        for tag in read.Tags()["scalars"]:
            cells[tag] = float(max(read.Scalars(tag), key=lambda event: event.step).value)
    except Exception as error:  # whatever damaged protocol buffers raise
        raise InputError(f"{run}: event files cannot be read: {(str(error).splitlines() or [''])[0]}") from None
    return Row(str(run), cells)
