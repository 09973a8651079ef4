"""The user's folder or archive of images."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import IO

from minform_cli.data.images.archive import TarArchive, ZipArchive
from minform_cli.data.images.members import MAX_MEMBER_BYTES, Container, Listing, suffix_of, suffixes
from minform_cli.data.walk import walk
from minform_cli.errors import InputError, unread
from minform_cli.files import user_path

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

LINKS_TO = 2
"""Levels at which links to folders are followed: those of splits and of classes."""


def open_container(path: str) -> Container:
    """The folder or archive at `path`.

    Raises:
        InputError: there is nothing there, or it is of another kind.
    """
    try:
        place = user_path(path)
        is_folder, is_file = place.is_dir(), place.is_file()
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be entered, no such user
        raise InputError(f"data.path: {path!r} cannot be looked at: {getattr(error, 'strerror', error)}") from None
    if is_folder:
        return Folder(place)
    if not is_file:
        raise InputError(f"data.path: {path!r} does not exist; accepted: a folder or {', '.join(ARCHIVES)}")
    name = place.name.lower()
    if name.endswith(".zip"):
        return ZipArchive(place)
    if name.endswith(ARCHIVES):
        return TarArchive(place)
    raise InputError(f"data.path: {path!r} is no folder and no archive; accepted: a folder or {', '.join(ARCHIVES)}")


class Folder:
    """A real folder. Its owner's links are followed at the level of splits, classes and files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def listing(self) -> Listing:  # noqa: D102  (Container says it)
        found = Listing()
        try:
            for name, entry in walk(self.path, LINKS_TO):
                if entry.is_dir():
                    found.folders.add(name)
                elif suffix_of(name) not in suffixes():
                    found.add_file(name, 0, 0)
                elif stat.S_ISREG((status := entry.stat()).st_mode):
                    found.add_file(name, status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise unread(error, f"{error.filename!r}: cannot be read: {error.strerror}") from None
        return found

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:  # noqa: D102
        for name in names:
            with self._opened(name) as file:
                content = file.read(MAX_MEMBER_BYTES + 1)
            if len(content) > MAX_MEMBER_BYTES:
                raise InputError(f"{str(self.path / name)!r} is larger than {MAX_MEMBER_BYTES:,} bytes")
            yield name, content

    def streams(self, names: Collection[str]) -> Generator[tuple[str, IO[bytes]]]:  # noqa: D102
        for name in names:
            with self._opened(name) as file:
                yield name, file

    @contextlib.contextmanager
    def _opened(self, name: str) -> Generator[IO[bytes]]:
        try:
            with (self.path / name).open("rb") as file:
                yield file
        except OSError as error:
            raise unread(error, f"{str(self.path / name)!r}: cannot be read: {error.strerror}") from None
