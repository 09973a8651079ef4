"""What lies in a folder: runs and studies, wherever below it. No torch, no data, nothing written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.runs.listing import listed, listed_run
from minform_cli.runs.records import ListedRecord
from minform_cli.study.record import FILE, read_record


class Listing(NamedTuple):
    """What was found, and a line for each folder that could not be looked into."""

    records: list[ListedRecord]
    notes: list[str]


def list_folder(folder: Path) -> Listing:
    """The runs and studies in `folder` and below, by path; a study before its runs.

    Links and hidden folders are passed over, and what lies inside a run's folder is the run's. Damaged ones are listed
    as such.

    Raises:
        InputError: `folder` is no folder that can be looked into.
    """
    try:
        os.scandir(folder).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: cannot be looked into: {reason}; accepted: a folder with runs") from None
    now = datetime.now(UTC)
    records: list[ListedRecord] = []
    notes: list[str] = []
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            names, below = _entries(place)
        except OSError as error:
            notes.append(f"{place}: cannot be looked into: {error.strerror or error}")
            continue
        if RunFolder(place).meta.name in names:
            records.append(listed_run(place, now))
            continue
        if FILE in names:
            records.append(_listed_study(place, now))
        waiting += reversed(below)
    _add_states(records)
    return Listing(records, notes)


def _entries(folder: Path) -> tuple[set[str], list[Path]]:
    """Names of the plain files in `folder`, and the folders in it that are looked into, sorted."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    below = [Path(e.path) for e in found if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    return {entry.name for entry in found if entry.is_file(follow_symlinks=False)}, below


def _listed_study(folder: Path, now: datetime) -> ListedRecord:
    record = listed(folder, "study", now)
    try:
        study = read_record(folder)
    except InputError as error:
        record["problem"] = str(error)
        return record
    record["state"], record["preset"] = "interrupted", study.preset
    record["runs"] = len(study.runs)
    record["runs_finished"] = sum(RunFolder(folder / entry.folder).is_finished() for entry in study.runs)
    if record["runs_finished"] == record["runs"]:
        record["state"] = "finished"
    return record


def _add_states(records: Iterable[ListedRecord]) -> None:
    """A study is running while any of its runs is."""
    studies = {Path(record["folder"]): record for record in records if record["kind"] == "study"}
    for record in records:
        if record["kind"] == "run" and record["state"] == "running":
            for above in Path(record["folder"]).parents:
                if above in studies and studies[above]["state"] != "damaged":
                    studies[above]["state"] = "running"
