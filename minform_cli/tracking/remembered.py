"""What is known of a run's or a study's logs the next time: a file beside its own, whose last line of a tracker counts.

It grows line by line: a run's own process removes temporary files that it has not made itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
    found = None
    for line in _lines(folder / TRACKING):
        name = line.pop("tracker", None)
        if name == tracker and line.get("where") == where:
            try:
                found = Entry(**line)
            except TypeError:  # of another version
                found = None
    return found


def remember(folder: Path, tracker: str, entry: Entry) -> None:
    """Keeps it; `OSError` if the folder cannot be written."""
    path = folder / TRACKING
    torn = path.is_file() and not path.read_bytes().endswith(b"\n")  # by a process that was killed as it wrote
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if torn else "") + json.dumps({"tracker": tracker, **asdict(entry)}) + "\n")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in its lines; a damaged one costs the connection to the earlier log, no run."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
