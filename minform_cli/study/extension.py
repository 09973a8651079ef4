"""Whether new runs may join the runs that a study's folder has already: same recipe, same data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from minform_cli.config.names import FROM_RUN, OF_RUN
from minform_cli.config.schema import RunConfig
from minform_cli.data.source import Source
from minform_cli.errors import InputError, MachineError
from minform_cli.files import RunFolder, make_folder
from minform_cli.runs.folder import LOCK, flat
from minform_cli.runs.stored import read_run
from minform_cli.study.record import FILE, StudyRecord, read_record, write_record


def check_extends(
    out: Path, config: RunConfig, swept: Iterable[str], fingerprints: Mapping[Path, str | None]
) -> str | None:
    """The checksum of the data that the study's runs were made with; None if none was begun.

    Args:
        out: the study's folder.
        config: of any of the new runs.
        swept: keys of the new runs' grid.
        fingerprints: run folder -> checksum of its data, None where nothing was begun.

    Raises:
        InputError: `study.json` is damaged or another format's, a run of the study was made with another setting
            that all its runs share, or two runs with different data.
    """
    known = {folder: fingerprint for folder, fingerprint in fingerprints.items() if fingerprint is not None}
    if (folder := _first_begun(out)) is not None:
        run = read_run(folder)
        _check_recipe(out, run.config, config, {*swept, *read_record(out).grid})
        known[folder] = run.fingerprint
    for folder, fingerprint in known.items():
        other, first = next(iter(known.items()))
        if fingerprint != first:
            raise InputError(
                f"{folder} was made with other data than {other}: fingerprint {fingerprint[:12]}... there, "
                f"{first[:12]}... here; --out names another folder"
            )
    return next(iter(known.values()), None)


def begun_config(out: Path) -> RunConfig | None:
    """The config of the first run of the study in `out` that was begun; None if there is none.

    Raises:
        InputError: `study.json` or the run is damaged or another format's.
    """
    folder = _first_begun(out)
    return None if folder is None else read_run(folder).config


def _first_begun(out: Path) -> Path | None:
    if not (out / FILE).is_file():
        return None
    entry = next((entry for entry in read_record(out).runs if _begun(out, entry.folder)), None)
    return None if entry is None else out / entry.folder


def check_data(out: Path, source: Source, fingerprint: str) -> None:
    """Raises `InputError` unless the examples of `source` are still those that the study in `out` was begun with."""
    found = source.load().fingerprint
    if found != fingerprint:
        raise InputError(
            f"{out}: the data differ from those the study was made with: fingerprint {fingerprint[:12]}... there, "
            f"{found[:12]}... here; --out names another folder"
        )


def register(out: Path, record: StudyRecord) -> None:
    """Adds the runs of `record` to the study in `out`; commands that do so at the same moment wait for each other.

    Raises:
        MachineError: the folder cannot be written.
    """
    make_folder(out)
    try:
        with FileLock(out / LOCK):
            write_record(out, extended(out, record))
    except OSError as error:
        raise MachineError(f"cannot write to {out}: {error.strerror or error}") from error


def extended(out: Path, record: StudyRecord) -> StudyRecord:
    """`record` after what was begun of the study in `out` before, if there is one."""
    if not (out / FILE).is_file():
        return record
    before = read_record(out)
    begun = [entry for entry in before.runs if _begun(out, entry.folder)]
    if not begun:
        return record
    kept = before.model_copy(
        update={
            "runs": begun,
            "variants": [name for name in before.variants if any(entry.variant == name for entry in begun)],
            "seeds": [seed for seed in before.seeds if any(entry.seed == seed for entry in begun)],
        }
    )
    return kept.extended(record)


def _begun(out: Path, folder: str) -> bool:
    return RunFolder(out / folder).meta.is_file()


def _check_recipe(out: Path, stored: RunConfig, given: RunConfig, swept: set[str]) -> None:
    """Raises `InputError` at the first setting of every run of a study that differs."""
    before, now = _recipe(stored, swept), _recipe(given.begun_as(stored), swept)
    if any(config.variant.startswith((OF_RUN, FROM_RUN)) for config in (stored, given)):
        # Such a row says itself what it starts from and whose vocabulary it has.
        both = (before, now)
        before, now = ({key: each[key] for key in each if key not in ("init", "data.tokenizer")} for each in both)
    for key in now | before:
        if now.get(key) != before.get(key):
            raise InputError(
                f"{out} holds another study: {key} is {before.get(key)!r} there and {now.get(key)!r} here; "
                "extending it needs the same settings, --out names another folder"
            )


def _recipe(config: RunConfig, swept: set[str]) -> dict[str, Any]:
    """What all runs of a study share, by dotted key: data, recipe and baseline, but for what is swept."""
    identity = config.identity()
    del identity["seed"]
    identity["model"] = (config.baseline or config.model).model_dump(mode="json")
    return {
        key: value
        for key, value in flat(identity).items()
        if not any(key == name or key.startswith(f"{name}.") for name in swept)
    }
