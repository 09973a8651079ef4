"""Removing a run that was interrupted: never one that runs or is finished, and nothing that is not the run's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from filelock import FileLock, Timeout

from minform_cli.errors import InputError, MachineError
from minform_cli.files import RunFolder
from minform_cli.runs.folder import LOCK, TENSOR_FILES, TENSORBOARD, TRACKING


def remove_interrupted_run(folder: Path) -> None:
    """Removes the folder of an interrupted run.

    It is claimed meanwhile, so that no process begins to train there. ``run.json`` goes last: killed halfway, what is
    left is a run that begins from its start.

    Raises:
        InputError: it is no run's folder, or its run is finished, or another process trains it, or something lies in it
            that no training wrote; nothing was removed.
        MachineError: it cannot be removed.
    """
    _check(folder)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{folder}: another process is training this run; not removed") from None
    except OSError as error:
        raise MachineError(f"cannot remove {folder}: {error.strerror or error}") from error
    try:
        _check(folder)  # it may have ended, or begun anew, since it was looked at
        _remove(RunFolder(folder))
    except OSError as error:
        raise MachineError(f"cannot remove {folder}: {error.strerror or error}") from error
    finally:
        lock.release()


def _check(folder: Path) -> None:
    """Raises an error unless `folder` holds an unfinished run and nothing else."""
    files = RunFolder(folder)
    if folder.is_symlink() or files.meta.is_symlink() or not files.meta.is_file():
        raise InputError(f"{folder}: is no run folder; not removed")
    if files.is_finished():
        raise InputError(f"{folder}: its run is finished; not removed")
    foreign = list(_foreign(folder))
    if foreign:
        named = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise InputError(f"{folder}: holds what no training wrote ({named}); not removed")


def _remove(files: RunFolder) -> None:
    last = (files.checkpoint, files.tokenizer, files.meta)
    names = [path for path in _inside(files.path) if path not in last and path.name != LOCK]
    for path in (files.checkpoint, *names, files.tokenizer, files.meta, files.path / LOCK):
        path.unlink(missing_ok=True)
    if (files.path / TENSORBOARD).is_dir():
        (files.path / TENSORBOARD).rmdir()
    files.path.rmdir()


def _inside(folder: Path) -> Iterator[Path]:
    """The files in `folder`, those of its log included."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _inside(Path(entry.path))
        else:
            yield Path(entry.path)


def _foreign(folder: Path) -> Iterator[str]:
    """Names in a run's folder of what no training of ours writes."""
    files = RunFolder(folder)
    known = {files.config, files.tokenizer, files.meta, files.metrics, files.timings, files.checkpoint}
    names = (LOCK, TRACKING, *(path.name for path in (*known, files.examples, files.result)))
    try:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name == TENSORBOARD and entry.is_dir(follow_symlinks=False):
                if not all(_is_log(inside) for inside in os.scandir(entry.path)):
                    yield entry.name
            elif not entry.is_file(follow_symlinks=False) or not _is_one_of(entry.name, (*names, *TENSOR_FILES)):
                yield entry.name
    except OSError as error:
        raise MachineError(f"cannot look into {folder}: {error.strerror or error}") from error


def _is_log(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) and entry.name.startswith("events.out.tfevents.")


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
