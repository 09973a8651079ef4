"""What a study's folder holds: enough for its tables and pictures, with no preset, no data and no torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from minform_cli import __version__
from minform_cli.counting.records import CountRecord, row_key, row_label
from minform_cli.errors import InputError, counted
from minform_cli.files import RunFolder
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.runs.stored import read_run
from minform_cli.study.record import RunEntry, StudyRecord, read_record


@dataclass(frozen=True)
class StoredStudy:
    """A study as its folder tells it.

    Attributes:
        folder: the study's.
        record: what it is.
        entries: its finished runs, in its order.
        results: theirs.
        notes: what is missing, and which runs another minform version made.
    """

    folder: Path
    record: StudyRecord
    entries: tuple[RunEntry, ...]
    results: tuple[ResultRecord, ...]
    notes: tuple[str, ...]

    def counts(self) -> list[CountRecord]:
        """The counts of the rows, each once, in the order of their first run."""
        return counts_of(self.results)

    def runs(self) -> list[tuple[Path, ResultRecord]]:
        """Folder and result of each finished run."""
        return [(self.folder / entry.folder, result) for entry, result in zip(self.entries, self.results, strict=True)]


def read_study_folder(folder: Path) -> StoredStudy:
    """The study in `folder`, finished or not.

    Raises:
        InputError: it is no study's folder, is damaged or of another format version, has no finished run, or its
            runs were made with different data.
    """
    record = read_record(folder)
    finished = tuple(entry for entry in record.runs if RunFolder(folder / entry.folder).is_finished())
    if not finished:
        raise InputError(f"{folder} has no finished run yet: minform compare goes on with it")
    results = tuple(_named(read_result(folder / entry.folder), record.preset, entry) for entry in finished)
    check_same_data(results)
    missing = [entry for entry in record.runs if entry not in finished]
    notes = (
        [f"{len(missing)} of {counted(len(record.runs), 'run')} are not finished, first {_name(missing[0])}"]
        if missing
        else []
    )
    notes += [*version_notes(results), *_recipe_notes(folder, finished)]
    return StoredStudy(folder, record, finished, results, tuple(notes))


def _recipe_notes(folder: Path, entries: Sequence[RunEntry]) -> list[str]:
    """What the recipes of finished runs say of themselves, each sentence once."""
    found: dict[str, None] = {}
    for entry in entries:
        with suppress(InputError):  # the results stand for themselves
            found |= dict.fromkeys(read_run(folder / entry.folder).config.notes())
    return list(found)


def counts_of(results: Sequence[ResultRecord]) -> list[CountRecord]:
    """The count in the first result of each row, with its grid point."""
    counts: dict[tuple[str, str], CountRecord] = {}
    for result in results:
        variant, grid = result["variant"], result.get("grid", {})
        named: CountRecord = {**result["count"], "preset": result["preset"], "variant": variant, "grid": grid}
        counts.setdefault(row_key(variant, grid), named)
    return list(counts.values())


def check_same_data(results: Sequence[ResultRecord]) -> None:
    """Raises `InputError` unless all results come from the same examples: others cannot be compared."""
    first = results[0]
    for result in results:
        mine, theirs = result["data"]["fingerprint"], first["data"]["fingerprint"]
        if mine != theirs:
            raise InputError(
                f"{row_label(result['variant'], result.get('grid', {}))}, seed {result['seed']}: made with other data "
                f"than the study's first run: fingerprint {mine[:12]}... and {theirs[:12]}...; they cannot be compared"
            )


def version_notes(results: Sequence[ResultRecord]) -> list[str]:
    """A sentence for each other minform version that made some of the results."""
    versions = [result["minform"] for result in results]
    return [
        f"{versions.count(version)} of {counted(len(versions), 'run')} were made by minform {version}, this is "
        f"{__version__}"
        for version in sorted({*versions} - {__version__})
    ]


def _named(result: ResultRecord, preset: str, entry: RunEntry) -> ResultRecord:
    """The result under the names of the study."""
    named = result.copy()
    named["preset"], named["variant"], named["grid"] = preset, entry.variant, entry.grid
    return named


def _name(entry: RunEntry) -> str:
    return f"{row_label(entry.variant, entry.grid)}, seed {entry.seed}"
