"""Images as files: read when they are needed, or decoded all at once where the memory is large enough."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.images.container import Folder
from minform_cli.data.images.decode import Decoder
from minform_cli.data.images.members import Container, Member
from minform_cli.data.images.pixels import Pixels
from minform_cli.data.walk import some_names
from minform_cli.errors import InputError, counted

MEMORY_SHARE = 3
"""Images are decoded up front while they take less than this fraction of the free memory: splitting them holds two
copies for a moment, and the training needs some too."""

MOST_DAMAGED = 10
"""How many damaged files a message names beside the first."""


@dataclass(frozen=True)
class ImageFiles:
    """Images of one folder that stay on disk. Has the shape of the array they would make.

    Attributes:
        root: the folder.
        members: the files.
        decoder: makes pixels of them.
    """

    root: Path
    members: tuple[Member, ...]
    decoder: Decoder

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, C, H, W) of the decoded images."""
        return len(self.members), self.decoder.channels, self.decoder.height, self.decoder.width

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, indices: NDArray[np.intp]) -> ImageFiles:
        return ImageFiles(self.root, tuple(self.members[i] for i in indices.tolist()), self.decoder)

    def read_all(self) -> Pixels:
        """(n, C, H, W) pixels; errors as the decoder raises them."""
        return decode_members(Folder(self.root), self.members, self.decoder).pixels

    def update_digest(self, update: Callable[[bytes], object]) -> None:
        """Adds what identifies the images without reading them: names and sizes."""
        for member in self.members:
            update(f"{member.name}\0{member.size}\0".encode("utf-8", "surrogateescape"))


class Decoded(NamedTuple):
    """Images of one shape, and what they were before.

    Attributes:
        pixels: (n, C, H, W).
        num_grey: how many were grey.
        num_turned: how many have EXIF data which say that their stored pixels are not upright.
    """

    pixels: Pixels
    num_grey: int
    num_turned: int


def decode_members(container: Container, members: Sequence[Member], decoder: Decoder) -> Decoded:
    """The images of `members`, in their order, in whatever order the container gives them.

    Raises:
        InputError: files are damaged, missing or of another shape; all that are damaged are looked for.
    """
    places = {member.name: place for place, member in enumerate(members)}
    pixels = np.empty((len(places), decoder.channels, decoder.height, decoder.width), dtype=np.uint8)
    done = num_grey = num_turned = 0
    damaged: dict[str, InputError] = {}
    for name, content in container.read(places):
        done += 1
        try:
            pixels[places[name]], seen = decoder.decode(content, str(container.path / name))
        except InputError as error:
            damaged[name] = error
            continue
        num_grey += seen.is_grey
        num_turned += seen.is_turned
    if damaged:
        raise _all_named(damaged)
    if done != len(places):
        raise InputError(f"{str(container.path)!r}: the files changed while they were read; try again")
    return Decoded(pixels, num_grey, num_turned)


def _all_named(damaged: dict[str, InputError]) -> InputError:
    """What is wrong with the first of the files by name, and the names of the others."""
    first, *others = sorted(damaged)
    if not others:
        return damaged[first]
    more = "another image" if len(others) == 1 else counted(len(others), "other image")
    return InputError(f"{damaged[first]}; {more} cannot be used either: {some_names(others, MOST_DAMAGED)}")


def memory_budget() -> int:
    """Bytes that decoded images may take: a share of the memory that is free now, in this control group too."""
    free: list[int] = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            free.append(int(limit) - int((group / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):
        pass
    if not free:
        free.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 4 * 2**30)
    return max(min(free), 0) // MEMORY_SHARE
