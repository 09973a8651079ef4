"""The folder that runs go to, the caches, and the data that are there."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from minform_cli.data.cache import cache_root, data_roots
from minform_cli.diagnosis.findings import finding, reason
from minform_cli.diagnosis.records import FindingRecord
from minform_cli.errors import MinformError
from minform_cli.files import RunFolder, check_folder, nearest_existing, write_atomic
from minform_cli.runs.folder import claimed

MADE = ("decoded", "tokens")
"""Folders of the cache whose files can be made again from the data."""
_TRIED_BYTES = 2**20
_LITTLE_BYTES = 200 * 2**20
_MOST_NAMES = 12


def folder(chosen: Path) -> Iterator[FindingRecord]:
    """Whether a run could be written to `chosen` and locked there; nothing stays behind.

    Raises:
        InputError: it is no folder.
    """
    check_folder(chosen)
    nearest = nearest_existing(chosen.absolute())
    free = shutil.disk_usage(nearest).free
    little = free < _LITTLE_BYTES
    yield finding("folder", "path", str(chosen.absolute()))
    yield finding("folder", "free", f"{free / 1e9:,.2f} GB", "problem" if little else "ok", free, "B")
    tried = RunFolder(Path(mkdtemp(prefix=".minform-doctor-", dir=nearest)))
    try:
        yield _tried(tried)
    finally:
        shutil.rmtree(tried.path, ignore_errors=True)


def _tried(tried: RunFolder) -> FindingRecord:
    try:
        with claimed(tried):
            write_atomic(tried.meta, os.urandom(_TRIED_BYTES))
    except (MinformError, OSError) as error:
        return finding("folder", "write and lock", f"{reason(error)}: no run can be saved here", "fatal")
    return finding("folder", "write and lock", "a file was written, synced, renamed and locked")


def cache(*, clean: bool) -> Iterator[FindingRecord]:
    """Where the caches are and how large; with `clean`, what can be made again is removed."""
    root = cache_root()
    writable = os.access(nearest_existing(root), os.W_OK)
    kept = "" if writable else "; it cannot be written: data are decoded anew in every run"
    yield finding("cache", "path", f"{root}{kept}", "ok" if writable else "note")
    for name in (*MADE, "data"):
        size = _size(root / name)
        removed, why = _removed(root / name) if clean and name in MADE else (0, None)
        text = f"{size / 1e6:,.1f} MB" + (f", {removed / 1e6:,.1f} MB of it removed" if clean and name in MADE else "")
        yield finding("cache", name, text if why is None else f"{text}; {why}", "problem" if why else "ok", size, "B")


def data() -> Iterator[FindingRecord]:
    """What lies in the folders that data sets are looked for in."""
    yield finding("data", "MINFORM_DATA", os.environ.get("MINFORM_DATA") or "not set")
    for root in data_roots():
        if not root.is_dir():
            asked = os.environ.get("MINFORM_DATA") == str(root)
            yield finding("data", str(root), "no such folder", "problem" if asked else "ok")
            continue
        names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield finding("data", str(root), f"{', '.join(names[:_MOST_NAMES]) or 'nothing'}{more}")


def _files(root: Path) -> Iterator[tuple[Path, int]]:
    """Every plain file below `root` with its size; links are not followed."""
    waiting = [root] if root.is_dir() and not root.is_symlink() else []
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(Path(entry.path))
                    elif stat.S_ISREG(found.st_mode):
                        yield Path(entry.path), found.st_size


def _size(root: Path) -> int:
    return sum(size for _, size in _files(root))


def _removed(root: Path) -> tuple[int, str | None]:
    """Bytes that were removed, and why no more; files that processes lock on stay."""
    gone, why = 0, None
    for path, size in list(_files(root)):
        if path.suffix == ".lock":
            continue
        try:
            path.unlink()
            gone += size
        except OSError as error:
            why = f"cannot be removed: {reason(error)}"
    return gone, why
