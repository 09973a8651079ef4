"""A folder or archive of images by class, opened for a data section: what it holds, and its images.

Decoded images and the list of files in a tar are kept in the cache, under the name, size and time of every file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minform_cli.config.schema import DataConfig
from minform_cli.data.archive import TarArchive
from minform_cli.data.cache import Arrays, cached_arrays, digest_of
from minform_cli.data.container import ARCHIVES, Folder, open_container
from minform_cli.data.decode import Decoder, decoder_for
from minform_cli.data.files import ImageFiles, decode_members, memory_budget
from minform_cli.data.images import ImageSplit, OfficialData
from minform_cli.data.layout import Layout, layout_of
from minform_cli.data.members import Container, Member
from minform_cli.errors import InputError

FORMAT = 1
"""Version of what is kept in the cache: to be raised when listing or decoding changes."""


@dataclass(frozen=True)
class ImagesOnDisk:
    """What a data section with a path refers to.

    Attributes:
        container: the folder or archive.
        layout: its splits and classes.
        decoder: makes pixels of its files.
        holdout: training images to be held out for validation; 0 where there is no need.
    """

    container: Container
    layout: Layout
    decoder: Decoder
    holdout: int

    def num(self, split: str) -> int:
        """Images of `split`; 0 if it is not there."""
        return len(self.layout.splits[split].labels) if split in self.layout.splits else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the files, a sentence each."""
        return ()

    @property
    def title(self) -> str:
        """Name of the folder or archive for tables: without an archive's suffix, and printable."""
        name = self.container.path.resolve().name
        suffix = max((s for s in ARCHIVES if name.lower().endswith(s)), key=len, default="")
        return "".join(c if c.isprintable() else "?" for c in name[: len(name) - len(suffix)])


def open_images(data: DataConfig) -> ImagesOnDisk:
    """Lists the files of `data.path` and looks at the first one.

    Raises:
        InputError: the path is missing, damaged, hostile or laid out in another way.
    """
    if data.path is None:
        raise InputError(f"data.path: {data.name} needs the folder or archive with your images: --set data.path=...")
    container = open_container(data.path)
    layout = layout_of(container, _listed(container))
    holdout = 0 if "val" in layout.splits or data.validation == "test" else _holdout(layout)
    first = layout.splits["train"].members[0].name
    _, content = next(iter(container.read([first])))
    return ImagesOnDisk(container, layout, decoder_for(content, str(container.path / first), data.image_size), holdout)


def load_images(images: ImagesOnDisk) -> OfficialData:
    """All splits: decoded, or as files where they would not fit in memory.

    Raises:
        InputError: a file is damaged or of another shape, or an archive is too large for memory.
    """
    container, layout, decoder = images.container, images.layout, images.decoder
    needed = decoder.num_bytes * sum(len(listed.labels) for listed in layout.splits.values())
    if needed <= memory_budget():
        pixels = _decoded(images)
        splits = {name: ImageSplit(pixels[name], listed.labels) for name, listed in layout.splits.items()}
    elif isinstance(container, Folder):
        splits = {
            name: ImageSplit(ImageFiles(container.path, listed.members, decoder), listed.labels)
            for name, listed in layout.splits.items()
        }
    else:
        raise InputError(
            f"data.path: the images in {str(container.path)!r} take {needed / 2**30:.1f} GiB decoded, too much for "
            "this machine's memory: unpack the archive and give the folder, which is then read in parts"
        )
    return OfficialData(splits["train"], splits.get("val"), splits.get("test"), images.holdout)


def _listed(container: Container) -> list[Member]:
    """The files; the list of a tar is kept, as making it means reading the whole archive."""
    if not isinstance(container, TarArchive):
        return container.members()
    status = container.path.stat()
    place = container.path.resolve()

    def build() -> Arrays:
        members = container.members()
        names = "\0".join(member.name for member in members).encode("utf-8", "surrogateescape")
        return {
            "names": np.frombuffer(names, dtype=np.uint8),
            "numbers": np.array([member[1:] for member in members], dtype=np.int64).reshape(-1, 2),
        }

    key = digest_of(FORMAT, place, status.st_size, status.st_mtime_ns)
    found = cached_arrays(f"list-{digest_of(place)[:20]}", key, build)
    names = found["names"].tobytes().decode("utf-8", "surrogateescape").split("\0")
    return [Member(name, *numbers) for name, numbers in zip(names, found["numbers"].tolist(), strict=False)]


def _decoded(images: ImagesOnDisk) -> Arrays:
    container, layout = images.container, images.layout
    place = container.path.resolve()
    status = container.path.stat()
    own = () if container.path.is_dir() else (status.st_size, status.st_mtime_ns)
    members = [member for split in layout.splits.values() for member in split.members]

    def build() -> Arrays:
        # One pass over the container for all splits: a packed tar can only be read from its start.
        everything = decode_members(container, members, images.decoder)
        ends = np.cumsum([len(split.labels) for split in layout.splits.values()])
        return dict(zip(layout.splits, np.split(everything, ends[:-1]), strict=True))

    key = digest_of(FORMAT, place, images.decoder, *own, *members)
    return cached_arrays(f"images-{digest_of(place, images.decoder.resize_to)[:20]}", key, build)


def _holdout(layout: Layout) -> int:
    """A tenth of the training images, at least one of each class."""
    labels = layout.splits["train"].labels
    for name, count in zip(layout.class_names, np.bincount(labels).tolist(), strict=True):
        if count < 2:
            raise InputError(
                f"data.path: class {name!r} has a single training image, so none can be held out for validation; "
                "add images, or a folder val"
            )
    return max(len(layout.class_names), round(len(labels) / 10))
