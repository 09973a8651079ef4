"""What a run's folder says of it at a glance: its state, what it is, how far it is. Nothing is written, no torch."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.runs.folder import CHECKPOINT, LOCK, read_meta, stored_config
from minform_cli.runs.records import ListedRecord, read_result
from minform_cli.runs.seal import read_sealed


def listed_run(folder: Path, now: datetime) -> ListedRecord:
    """The run in `folder`, which has a ``run.json``; a damaged one says what is wrong."""
    record = listed(folder, "run", now)
    files = RunFolder(folder)
    try:
        if files.result.is_file():
            _add_result(record, folder)
            record["state"] = "finished"
        else:
            _add_progress(record, files)
            begun = "trial" if files.trial.is_file() else "interrupted"
            record["state"] = "running" if is_held(folder) else begun
    except (InputError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        record["state"], record["problem"] = "damaged", _what(error, files)
    return record


def listed(folder: Path, kind: str, now: datetime) -> ListedRecord:
    """A record that says of `folder` how large and how old it is, and nothing else yet."""
    size, changed = _size_and_change(folder, now)
    return {
        "folder": str(folder),
        "kind": kind,
        "state": "damaged",
        "preset": None,
        "variant": None,
        "seed": None,
        "metric": None,
        "score": None,
        "epochs": None,
        "epochs_planned": None,
        "runs_finished": None,
        "runs": None,
        "changed": changed.isoformat(timespec="seconds"),
        "age_s": max(0.0, (now - changed).total_seconds()),
        "size_bytes": size,
        "problem": None,
    }


def is_held(folder: Path) -> bool:
    """Whether a process has claimed the run in `folder`; looking needs no right to write, and makes no lock file."""
    path = folder / LOCK
    if path.is_symlink() or not path.is_file():
        return False
    if os.name != "posix":
        return _is_held_by_lock(path)
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_held_by_lock(path: Path) -> bool:
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def _add_result(record: ListedRecord, folder: Path) -> None:
    result = read_result(folder)
    metric, score = result["metric"], result["metrics"].get(f"val_{result['metric']}")
    record["preset"], record["variant"] = str(result["preset"]), str(result["variant"])
    record["seed"], record["epochs"] = int(result["seed"]), float(result["epochs"])
    record["epochs_planned"] = float(result.get("stopped_early", {}).get("of", result["epochs"]))
    record["metric"], record["score"] = str(metric), None if score is None else float(score)


def _add_progress(record: ListedRecord, files: RunFolder) -> None:
    """What ``run.json`` says the run is, and ``checkpoint.json`` how far."""
    meta = read_meta(files)
    config = stored_config(files, meta)
    record["preset"], record["variant"], record["seed"] = config.preset, config.variant, config.seed
    record["epochs"] = 0.0
    record["epochs_planned"] = float(config.train.epochs) if config.train.steps is None else None
    try:
        state: dict[str, Any] = read_sealed(files.checkpoint, CHECKPOINT)["state"]
    except InputError:
        if files.checkpoint.is_file():
            raise
        return  # not one yet
    record["epochs"] = float(state["epoch"])
    scores = {name: value for name, value in state["metrics"].items() if name.startswith("val_")}
    scores.pop("val_loss", None)
    for name, value in scores.items():  # the first is what runs are compared by
        record["metric"], record["score"] = name.removeprefix("val_"), float(value)
        break


def _size_and_change(folder: Path, now: datetime) -> tuple[int, datetime]:
    """Bytes of all files below `folder`, links not followed, and when the newest of them was written."""
    size, newest, waiting = 0, 0.0, [folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(OSError):  # gone meanwhile
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(Path(entry.path))
                    elif stat.S_ISREG(found.st_mode):
                        size += found.st_size
                        newest = max(newest, found.st_mtime)
    try:
        return size, datetime.fromtimestamp(newest or folder.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return size, now


def _what(error: Exception, files: RunFolder) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or files.path}: {error.strerror or error}"
    where = files.result if files.result.is_file() else files.path
    return f"{where} is damaged: {type(error).__name__}: {error}"
