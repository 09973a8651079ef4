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
        InputError: it is damaged, is not what the queries within expect, or is written to meanwhile.
    """
    # To read a file with a log of writes (WAL), SQLite makes two more beside it, and leaves them; not one that it is
    # told nobody writes to, which holds where the log is empty and the file stays as it is.
    still = _logs_writes(path) and not _size(path.with_name(f"{path.name}-wal"))
    before = path.stat()
    try:
        uri = f"{path.absolute().as_uri()}?{'immutable=1' if still else 'mode=ro'}"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    after = path.stat()
    if still and (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise InputError(f"{path} was written to while it was read; try again")


def _logs_writes(path: Path) -> bool:
    """Whether its writes go to a file beside it first; the format says so in its 19th byte."""
    with path.open("rb") as file:
        return file.read(20)[18:19] == b"\x02"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    """Names of the columns of a table; none where there is no such table."""
    return {str(name) for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def tables_of(path: Path) -> set[str]:
    """Names of the tables in it."""
    with opened(path) as connection:
        return {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
