"""Where files lie: the user's data folder, our cache folder, and decoded images kept in it.

``MINFORM_DATA`` names a folder with data sets; it may be read-only. ``MINFORM_CACHE`` replaces the user's cache
folder. Nothing here is needed to train: a cache that cannot be read is made again, one that cannot be written is
done without.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from platformdirs import user_cache_dir

from minform_cli.errors import InputError
from minform_cli.files import clear_leftovers, sync_folder, temporary_name

Arrays = dict[str, NDArray[Any]]


def cache_root() -> Path:
    """The folder for what can be made again: ``MINFORM_CACHE``, or the user's cache folder of this program."""
    return Path(os.environ.get("MINFORM_CACHE") or user_cache_dir("minform", appauthor=False))


def data_roots() -> list[Path]:
    """Folders searched for the files of data sets, in this order: ``MINFORM_DATA`` if set, then our cache."""
    chosen = os.environ.get("MINFORM_DATA")
    return [*([Path(chosen)] if chosen else []), cache_root() / "data"]


def find(*names: str) -> Path | None:
    """The first of `names` (relative, a file or folder) that exists below the first of `data_roots` that has any.

    Raises:
        InputError: a root may not be entered.
    """
    for root in data_roots():
        for name in names:
            try:
                if (root / name).exists():
                    return root / name
            except OSError as error:
                raise InputError(f"{str(root / name)!r} cannot be looked at: {error.strerror}") from None
    return None


def download_root() -> Path:
    """The folder downloads go to: the first of `data_roots` that can be written."""
    roots = data_roots()
    return next((root for root in roots if _is_writable(root)), roots[-1])


def _is_writable(folder: Path) -> bool:
    """Whether `folder` can be written, or can be made where it does not exist yet."""
    try:
        nearest = next(f for f in (folder.absolute(), *folder.absolute().parents) if f.exists())
        return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    except OSError:  # a folder above it may not be entered
        return False


def digest_of(*parts: object) -> str:
    """SHA-256 in hex over the text of `parts`; names that are not valid text keep their own bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(part).encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def cached_arrays(slot: str, key: str, build: Callable[[], Arrays]) -> Arrays:
    """What `build` returns, from the cache if it is there.

    One slot holds one entry: a changed source replaces its old decoded copy. Two processes that ask at once build
    once. numpy's archive keeps a CRC-32 of every array; what does not match is built again.

    Args:
        slot: file name without suffix; what stays the same when the source changes.
        key: digest of everything the arrays depend on.
        build: makes the arrays, when they are not cached.
    """
    path = cache_root() / "decoded" / f"{slot}.npz"
    found = _read(path, key)
    if found is not None:
        return found
    with locked(path) as is_locked:
        found = _read(path, key)
        if found is None:
            found = build()
            _write(path, key, found, is_locked)
    return found


@contextlib.contextmanager
def locked(path: Path) -> Generator[bool]:
    """Whether `path` in the cache can be written, and this process is the only one that does; waits for others.

    Where there is no cache folder, or no lock, every process makes for itself what it needs.
    """
    with contextlib.ExitStack() as stack:
        is_locked = False
        with contextlib.suppress(OSError, NotImplementedError):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_suffix(".lock")))
            is_locked = True
        yield is_locked


def _read(path: Path, key: str) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if str(archive["key"]) != key:
                return None
            return {name: archive[name] for name in archive.files if name != "key"}
    except (OSError, ValueError, KeyError, EOFError, SyntaxError, NotImplementedError, RuntimeError):
        return None
    except (zipfile.BadZipFile, zlib.error, MemoryError, OverflowError):
        return None


def _write(path: Path, key: str, arrays: Arrays, is_locked: bool) -> None:
    temporary = temporary_name(path)
    try:
        if is_locked:
            clear_leftovers(path, alone=True)
        if shutil.disk_usage(path.parent).free < 2 * sum(array.nbytes for array in arrays.values()):
            return  # never the program that fills the disk for the sake of a few seconds
        with temporary.open("wb") as file:
            np.savez(file, key=np.array(key), allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
