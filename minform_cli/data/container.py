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
    try:
        place = Path(path).expanduser()
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

    def members(self) -> list[Member]:  # noqa: D102  (Container says it)
        found: list[Member] = []
        try:
            for split in _folders(self.path):
                for group in _folders(split.path):
                    found += _files(group.path, f"{split.name}/{group.name}")
        except OSError as error:
            raise InputError(f"{error.filename!r}: cannot be read: {error.strerror}") from None
        return found

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


def _folders(path: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return [entry for entry in entries if not entry.name.startswith(".") and entry.is_dir()]


def _files(folder: str, prefix: str) -> Iterator[Member]:
    """The images below `folder`, whose names shall begin with `prefix`; links to further folders are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    yield from _files(entry.path, f"{prefix}/{entry.name}")
            elif is_image(entry.name):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode):
                    yield Member(f"{prefix}/{entry.name}", status.st_size, status.st_mtime_ns)
