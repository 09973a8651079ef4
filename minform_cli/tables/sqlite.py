"""SQLite files, opened so that nothing can be written to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from minform_cli.errors import InputError

MAGIC = b"SQLite format 3\x00"


def is_sqlite(path: Path) -> bool:
    """Whether `path` begins as such files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def opened(path: Path) -> Generator[sqlite3.Connection]:
    """The file, to be read alone.

    Raises:
        InputError: it is damaged, or is not what the queries within expect.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def tables_of(path: Path) -> set[str]:
    """Names of the tables in it."""
    with opened(path) as connection:
        return {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
