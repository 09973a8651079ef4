"""A text file that grows by one line at a time and can be cut back to a length a checkpoint has noted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from minform_cli.errors import InputError, MachineError


class Mark(TypedDict):
    """How long a journal was at some moment, in bytes, and the SHA-256 of what it held."""

    size: int
    sha256: str


EMPTY: Mark = {"size": 0, "sha256": hashlib.sha256().hexdigest()}


class Journal:
    """One JSON object a line. Lines after the last mark are lost on resume, and written again.

    Raises:
        InputError: the file no longer begins with what `mark` says it held.
        MachineError: it cannot be read or written.
    """

    def __init__(self, path: Path, mark: Mark = EMPTY) -> None:
        self.path = path
        try:
            with path.open("a+b") as file:
                file.seek(0)
                kept = file.read(mark["size"])
                self._digest = hashlib.sha256(kept)
                self._size = len(kept)
                if self._mark() != mark:
                    raise InputError(f"{path} is damaged: its first {mark['size']:,} bytes are not what was written")
                file.truncate(mark["size"])
        except OSError as error:
            raise MachineError(f"cannot open {path}: {error.strerror or error}") from error

    def append(self, record: Mapping[str, float | int]) -> None:
        """Adds one line; it is safe on disk only after the next `sync`."""
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        try:
            with self.path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise MachineError(
                f"cannot write {self.path}: {error.strerror or error}; the last checkpoint stays"
            ) from error
        self._digest.update(line)
        self._size += len(line)

    def sync(self) -> Mark:
        """Forces the lines to disk, and says what the file now holds."""
        with self.path.open("ab") as file:
            os.fsync(file.fileno())
        return self._mark()

    def _mark(self) -> Mark:
        return {"size": self._size, "sha256": self._digest.hexdigest()}
