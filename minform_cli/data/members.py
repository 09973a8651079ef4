"""What a folder and an archive of images have in common: files by name, of which the images count."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

MAX_MEMBER_BYTES = 64 * 2**20
"""Size of one file: beyond any photograph in a training set."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
"""Files with another suffix are left alone, as hidden files and those of operating systems are."""


class Member(NamedTuple):
    """One image file: name with forward slashes, size in bytes, time of change (in the container's own unit)."""

    name: str
    size: int
    mtime: int


class Container(Protocol):
    """A place with image files in it."""

    path: Path

    def members(self) -> list[Member]:
        """All image files, in any order; `InputError` if the container is damaged or hostile."""
        ...

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """(name, content) of each of `names`, in the order that is cheapest to read."""
        ...


def is_image(name: str) -> bool:
    """Whether the file `name` (with forward slashes) is taken for an image."""
    parts = name.split("/")
    return parts[-1].lower().endswith(SUFFIXES) and not any(p.startswith(".") or p == "__MACOSX" for p in parts)
