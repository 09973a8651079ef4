"""What a folder and an archive of images have in common: files by name, of which the images count."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from minform_cli.data.walk import is_left_alone

MAX_MEMBER_BYTES = 64 * 2**20
"""Size of one file: beyond any photograph in a training set."""

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
}
"""What is decoded, under which suffixes. The library knows more: some start other programs, and some have no mark to be
known by, so that any damaged file would be taken for one."""

_OPTIONAL = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
"""Formats that the library may have been built without, and how it calls them."""


class Member(NamedTuple):
    """One image file: name with forward slashes, size in bytes, time of change (in the container's own unit)."""

    name: str
    size: int
    mtime: int


@dataclass
class Listing:
    """What a container holds; what systems and editors leave in folders is not in it.

    Attributes:
        images: all files that are taken for images, in any order.
        folders: names of the folders, empty ones included; not all that hold something need be among them.
        others: (folder, suffix in lower case) -> how many other files.
    """

    images: list[Member] = field(default_factory=list[Member])
    folders: set[str] = field(default_factory=set[str])
    others: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def add_file(self, name: str, size: int, mtime: int) -> None:
        """Files `name`, which no rule leaves alone, under images or others."""
        suffix = suffix_of(name)
        if suffix in suffixes():
            self.images.append(Member(name, size, mtime))
        else:
            self.others[name.rpartition("/")[0], suffix] += 1


class Container(Protocol):
    """A place with image files in it."""

    path: Path

    def listing(self) -> Listing:
        """All that is in it; `InputError` if the container is damaged or hostile."""
        ...

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """(name, content) of each of `names`, in the order that is cheapest to read."""
        ...

    def streams(self, names: Collection[str]) -> Generator[tuple[str, IO[bytes]]]:
        """(name, file) likewise, for who needs the first bytes alone; a file is closed when the next is asked for."""
        ...


@functools.cache
def formats() -> tuple[str, ...]:
    """Those of `FORMATS` that the installed library decodes."""
    from PIL import features

    return tuple(name for name in FORMATS if name not in _OPTIONAL or features.check(_OPTIONAL[name]))


@functools.cache
def suffixes() -> frozenset[str]:
    """Of the files that are taken for images."""
    return frozenset(suffix for name in formats() for suffix in FORMATS[name])


def suffix_of(name: str) -> str:
    """The suffix of a file's `name`, in lower case; empty if it has none."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def is_image(name: str) -> bool:
    """Whether the file `name` (with forward slashes) is taken for an image."""
    return suffix_of(name) in suffixes() and not is_left_alone(name)
