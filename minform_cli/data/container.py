"""The user's folder or archive of images."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from minform_cli.data.archive import TarArchive, ZipArchive
from minform_cli.data.members import MAX_MEMBER_BYTES, Container, Member, is_image
from minform_cli.errors import InputError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


def open_container(path: str) -> Container:
    """The folder or archive at `path`.

    Raises:
        InputError: there is nothing there, or it is of another kind.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        return Folder(place)
    if not place.is_file():
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

    def members(self) -> list[Member]:  # noqa: D102  (Container says it)
        found: list[Member] = []
        try:
            for split in _folders(self.path):
                for group in _folders(Path(split)):
                    for folder, _, names in os.walk(group, onerror=_raise):
                        found += self._files(folder, names)
        except OSError as error:
            raise InputError(f"{error.filename!r}: cannot be read: {error.strerror}") from None
        return found

    def _files(self, folder: str, names: list[str]) -> Iterator[Member]:
        prefix = Path(folder).relative_to(self.path).as_posix()
        for name in names:
            member = f"{prefix}/{name}"
            if is_image(member):
                status = (Path(folder) / name).stat()
                if stat.S_ISREG(status.st_mode):
                    yield Member(member, status.st_size, status.st_mtime_ns)

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:  # noqa: D102
        for name in names:
            try:
                with (self.path / name).open("rb") as file:
                    content = file.read(MAX_MEMBER_BYTES + 1)
            except OSError as error:
                raise InputError(f"{str(self.path / name)!r}: cannot be read: {error.strerror}") from None
            if len(content) > MAX_MEMBER_BYTES:
                raise InputError(f"{str(self.path / name)!r} is larger than {MAX_MEMBER_BYTES:,} bytes")
            yield name, content


def _raise(error: OSError) -> None:
    raise error


def _folders(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
