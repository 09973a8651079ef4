"""Large files in the cache that are mapped into memory, not read: the tokens of a text, and the tokenizer they are of.

A file opens with a line that says what it was made from, how long it is, and the SHA-256 of the rest, which is checked
at every start: what does not match is made again. Where the cache cannot be written, a temporary file does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.cache import cache_root, locked
from minform_cli.errors import MachineError
from minform_cli.files import clear_leftovers, sync_folder, temporary_name

FORMAT = 1
"""Version of the file; to be raised when it changes."""

HEADER_BYTES = 256
"""The first line with the blanks behind it: a multiple of every width of a number."""

CHUNK_BYTES = 2**20

Put = Callable[[bytes], None]
"""Appends to the file."""


class Mapped(NamedTuple):
    """What such a file holds.

    Attributes:
        content: (bytes,), mapped and read-only.
        sha256: of the content, in hex.
    """

    content: NDArray[np.uint8]
    sha256: str


def mapped(slot: str, key: str, expected_bytes: int, write: Callable[[Put], None]) -> Mapped:
    """What `write` puts, from the cache if it is there; two processes at once write it once.

    Args:
        slot: file name without suffix; what stays the same when the source changes. It holds one entry.
        key: digest of everything the content depends on.
        expected_bytes: about how many; a nearly full disk is not filled for the sake of the next start.
        write: makes the content, in parts, when it is not there.

    Raises:
        MachineError: it can be written neither into the cache nor into the folder for temporary files.
    """
    path = cache_root() / "tokens" / f"{slot}.bin"
    found = _read(path, key)
    if found is not None:
        return found
    with locked(path) as is_locked:
        found = _read(path, key)
        if found is None and is_locked and _has_room(path.parent, expected_bytes):
            found = _kept(path, key, write)
    return _temporary(key, write) if found is None else found


def _has_room(folder: Path, expected_bytes: int) -> bool:
    try:
        return shutil.disk_usage(folder).free > 2 * expected_bytes
    except OSError:
        return False


def _read(path: Path, key: str) -> Mapped | None:
    """The content of a whole, undamaged file with that key. It is read once for the check, and mapped for use."""
    try:
        with path.open("rb") as file:
            header: dict[str, Any] = json.loads(file.read(HEADER_BYTES))
            if header["format"] != FORMAT or header["key"] != key:
                return None
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
            return _mapped(file, digest.hexdigest()) if digest.hexdigest() == header["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _kept(path: Path, key: str, write: Callable[[Put], None]) -> Mapped | None:
    temporary = temporary_name(path)
    try:
        clear_leftovers(path, alone=True)
        with temporary.open("wb") as file:
            checksum = _fill(file, key, write)
        place = temporary
        with contextlib.suppress(OSError):
            place = temporary.replace(path)
            sync_folder(path.parent)
        with place.open("rb") as file:
            return _mapped(file, checksum)
    except OSError:
        return None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(key: str, write: Callable[[Put], None]) -> Mapped:
    """In a file without a name, which is gone once it is not used any more."""
    try:
        with tempfile.TemporaryFile() as file:
            return _mapped(file, _fill(file, key, write))
    except OSError as error:
        raise MachineError(
            f"the tokens of the text can be written neither to {str(cache_root())!r} nor to a temporary file: "
            f"{error.strerror}; MINFORM_CACHE names another folder for them"
        ) from None


def _fill(file: IO[bytes], key: str, write: Callable[[Put], None]) -> str:
    """Writes header and content; returns the content's SHA-256."""
    digest = hashlib.sha256()

    def put(content: bytes) -> None:
        digest.update(content)
        file.write(content)

    file.write(b" " * HEADER_BYTES)
    write(put)
    header = json.dumps({"format": FORMAT, "key": key, "sha256": digest.hexdigest()}).encode()
    file.seek(0)
    file.write(header.ljust(HEADER_BYTES - 1) + b"\n")
    file.flush()
    os.fsync(file.fileno())
    return digest.hexdigest()


def _mapped(file: IO[bytes], checksum: str) -> Mapped:
    size = os.fstat(file.fileno()).st_size - HEADER_BYTES
    if size <= 0:
        return Mapped(np.zeros(0, dtype=np.uint8), checksum)  # nothing cannot be mapped
    mapped = np.memmap(file, dtype=np.uint8, mode="r", offset=HEADER_BYTES, shape=(size,))
    return Mapped(np.asarray(mapped), checksum)
