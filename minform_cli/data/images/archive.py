"""Images inside a .zip or a .tar(.gz), read member by member; nothing is ever unpacked to disk.

An archive may come from anywhere, so every member is looked at before it is read: one that would leave the folder, is a
link or a device, claims an absurd size, or comes twice, condemns the whole archive.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import IO, cast

from minform_cli.data.images.members import MAX_MEMBER_BYTES, Listing, is_image
from minform_cli.data.walk import is_left_alone
from minform_cli.errors import InputError, unread

MAX_TOTAL_BYTES = 32 * 2**30
"""Sum of the declared sizes; a larger collection is to be unpacked by its owner, who can see what it does."""

MAX_MEMBERS = 3_000_000
MAX_NAME = 1024

UTF8_FLAG = 0x800
"""Of a zip's member: its name is UTF-8; without it, it should be code page 437."""

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,  # zipfile: encrypted; tarfile: headers nested without end
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)


class ZipArchive:
    """A .zip; its directory names every member, so reading one costs no pass over the rest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def listing(self) -> Listing:  # noqa: D102
        found = Listing()
        with _damage_named(self.path), zipfile.ZipFile(self.path) as archive:
            for name, info in self._checked(archive):
                if name.endswith("/"):
                    found.folders.add(name.rstrip("/"))
                else:
                    found.add_file(name, info.file_size, info.CRC)
        return found

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:  # noqa: D102
        with _damage_named(self.path), zipfile.ZipFile(self.path) as archive:
            places = dict(self._checked(archive))
            for name in names:
                with archive.open(places[name]) as file:
                    yield name, file.read(places[name].file_size + 1)  # one more, so that the CRC-32 is checked

    def streams(self, names: Collection[str]) -> Generator[tuple[str, IO[bytes]]]:  # noqa: D102
        return _in_memory(self.read(names))

    def _checked(self, archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        """The members that no rule leaves alone, by clean names; those of folders end with a slash."""
        inspector = _Inspector(self.path)
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            harmless = kind in {0, stat.S_IFREG, stat.S_IFDIR}
            name = inspector.inspect(_zip_name(info), info.file_size, harmless)
            if not is_left_alone(name):
                yield name, info


class TarArchive:
    """A .tar, packed with gzip or not; it has no directory, so every look at it is a pass from the start."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def listing(self) -> Listing:  # noqa: D102
        found = Listing()
        with _damage_named(self.path), self._open() as archive:
            for name, info in self._checked(archive):
                if info.isdir():
                    found.folders.add(name.rstrip("/"))
                else:
                    found.add_file(name, info.size, int(info.mtime))
        return found

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:  # noqa: D102
        wanted = set(names)
        with _damage_named(self.path), self._open() as archive:
            for name, info in self._checked(archive):
                file = archive.extractfile(info) if name in wanted else None
                if file is not None:
                    yield name, file.read()
                    wanted.discard(name)
                    if not wanted:
                        return

    def streams(self, names: Collection[str]) -> Generator[tuple[str, IO[bytes]]]:  # noqa: D102
        return _in_memory(self.read(names))

    @contextlib.contextmanager
    def _open(self) -> Generator[tarfile.TarFile]:
        with self.path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file) if packed else file)
            with tarfile.open(fileobj=_Bounded(stream), mode="r:") as archive:
                yield archive

    def _checked(self, archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
        """The files and folders that no rule leaves alone, by clean names."""
        inspector = _Inspector(self.path)
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # or a million headers stay in memory
            harmless = (info.isreg() or info.isdir()) and not info.issparse()
            name = inspector.inspect(info.name, info.size, harmless)
            if not is_left_alone(name):
                yield name, info
        _check_end(archive)


def _in_memory(read: Iterator[tuple[str, bytes]]) -> Generator[tuple[str, IO[bytes]]]:
    """Files of what was read whole: to go back in a packed member is to unpack it again."""
    return ((name, io.BytesIO(content)) for name, content in read)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The member's name: UTF-8 where it is that, though macOS leaves out the flag that says so."""
    if not info.flag_bits & UTF8_FLAG and not info.filename.isascii():
        with contextlib.suppress(UnicodeError):
            return info.filename.encode("cp437").decode("utf-8")
    return info.filename


def _check_end(archive: tarfile.TarFile) -> None:
    """tarfile takes a damaged header for the end; the end is zeros, and gzip's own checksum comes after them."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    rest = 0
    while block := archive.fileobj.read(1 << 16):
        rest += len(block)
        if any(block):
            raise tarfile.ReadError(f"no member where one should be, at byte {archive.offset}")
        if rest > MAX_MEMBER_BYTES:
            raise tarfile.ReadError("too long an end")
    if not rest:
        raise tarfile.ReadError("it ends too early")


class _Inspector:
    """Looks at each member of one archive, keeping count; an `InputError` condemns the archive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: set[str] = set()
        self._total = 0

    def inspect(self, name: str, size: int, harmless: bool) -> str:
        """The clean name of a member, if one of this name, size in bytes and kind may be read.

        Clean means with forward slashes, which Windows' own programs may write the other way, without ``.`` parts, and
        with a slash at the end only where there was one.
        """
        forward = name.replace("\\", "/")
        parts = [part for part in forward.split("/") if part not in {"", "."}]
        clean = "/".join(parts) + ("/" if forward.endswith("/") else "")
        self._total += size
        if forward.startswith("/") or ".." in parts or re.match("[A-Za-z]:", forward):
            problem = "would leave the folder"
        elif not harmless:
            problem = "is a link, a device or a sparse file"
        elif len(name) > MAX_NAME:
            problem = f"has a name of more than {MAX_NAME} characters"
        elif not 0 <= size <= MAX_MEMBER_BYTES:
            problem = f"claims {size:,} bytes, more than {MAX_MEMBER_BYTES:,}"
        elif self._total > MAX_TOTAL_BYTES:
            problem = f"brings the sum to more than {MAX_TOTAL_BYTES:,} bytes; unpack it and give the folder"
        elif len(self._seen) >= MAX_MEMBERS:
            problem = f"is one more than {MAX_MEMBERS:,} members; unpack it and give the folder"
        elif clean in self._seen and is_image(clean):
            problem = "comes twice"
        else:
            self._seen.add(clean)
            return clean
        raise InputError(f"{str(self._path)!r} is refused: its member {name[:200]!r} {problem}")


class _Bounded(io.BufferedIOBase):
    """A readable file that refuses to read absurd lengths at once: tarfile takes a header's word for its own size."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_MEMBER_BYTES:
            raise tarfile.ReadError("a header claims an absurd size")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@contextlib.contextmanager
def _damage_named(path: Path) -> Generator[None]:
    """Turns whatever an archive reader raises over damaged bytes into one line that names the archive."""
    try:
        yield
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise unread(error, f"{str(path)!r} cannot be read or is damaged: {reason!r}") from None
