"""What is known of a run's or a study's logs the next time: a file beside its own, an entry a tracker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError
from minform_cli.files import read_json, write_json
from minform_cli.runs.folder import TRACKING


@dataclass(frozen=True)
class Entry:
    """One tracker's.

    Attributes:
        where: it keeps runs.
        id: its own name for the run.
        step: the last one it was told of.
        state: `running`, or how the run ended there.
        table: digest of the table that a study ended with.
    """

    where: str
    id: str
    step: int = -1
    state: str = "running"
    table: str = ""


def recall(folder: Path, tracker: str, where: str) -> Entry | None:
    """What is known of the tracker's log of `folder` there; None: nothing, or nothing that can be read."""
    found = _entries(folder).get(tracker)
    if not isinstance(found, dict) or found.get("where") != where:
        return None
    try:
        return Entry(**found)
    except TypeError:
        return None


def remember(folder: Path, tracker: str, entry: Entry) -> None:
    """Keeps it; `MachineError` if the folder cannot be written."""
    write_json(folder / TRACKING, {**_entries(folder), tracker: asdict(entry)})


def _entries(folder: Path) -> dict[str, Any]:
    if not (folder / TRACKING).is_file():
        return {}
    try:
        return read_json(folder / TRACKING, "log record")
    except InputError:  # a damaged one costs the connection to the earlier log, no run
        return {}
