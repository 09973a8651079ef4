"""A folder or archive of images by class, opened for a data section: what it holds, and its images.

Decoded images and the list of files in a tar are kept in the cache, under the name, size and time of every file.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minform_cli.config.schema import DataConfig
from minform_cli.data.cache import Arrays, cached_arrays, digest_of
from minform_cli.data.images.archive import TarArchive
from minform_cli.data.images.container import ARCHIVES, Folder, open_container
from minform_cli.data.images.decode import Decoder, is_grey_file, size_of
from minform_cli.data.images.files import ImageFiles, decode_members, memory_budget
from minform_cli.data.images.layout import Layout, layout_of
from minform_cli.data.images.members import Container, Listing, Member
from minform_cli.data.images.pixels import ImageSplit, OfficialData
from minform_cli.errors import InputError, counted

FORMAT = 2
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
        return self.layout.notes

    @property
    def members(self) -> list[Member]:
        """The files of all splits, one after another."""
        return [member for listed in self.layout.splits.values() for member in listed.members]

    @property
    def shape(self) -> str:
        """Of an image, for tables."""
        return f"{self.decoder.height}x{self.decoder.width} {'grey' if self.decoder.channels == 1 else 'colour'}"

    @property
    def title(self) -> str:
        """Name of the folder or archive for tables: without an archive's suffix, and printable."""
        name = self.container.path.resolve().name
        suffix = max((s for s in ARCHIVES if name.lower().endswith(s)), key=len, default="")
        return "".join(c if c.isprintable() else "?" for c in name[: len(name) - len(suffix)])


def open_images(data: DataConfig) -> ImagesOnDisk:
    """Lists the files of `data.path` and looks at the headers of as many as it takes: one, or all if all are grey.

    Raises:
        InputError: the path is missing, damaged, hostile or laid out in another way.
    """
    if data.path is None:
        raise InputError(f"data.path: {data.name} needs the folder or archive with your images: --set data.path=...")
    container = open_container(data.path)
    layout = layout_of(f"data.path: {str(container.path)!r}", _listed(container))
    holdout = 0 if "val" in layout.splits or data.validation == "test" else _holdout(layout)
    first = layout.splits["train"].members[0].name
    max_pixels = data.max_megapixels * 10**6
    with contextlib.closing(container.streams([first])) as streams:
        _, file = next(streams)
        name, upright = str(container.path / first), data.exif_orientation
        height, width = size_of(file, name, data.image_size, max_pixels, upright=upright)
        file.seek(0)
        grey = data.channels == 1 if data.channels else is_grey_file(file, name)
    members = [member for listed in layout.splits.values() for member in listed.members]
    if grey and data.channels is None:
        grey = _all_grey(container, members)
    decoder = Decoder(1 if grey else 3, height, width, data.image_size, max_pixels, upright)
    return ImagesOnDisk(container, layout, decoder, holdout)


def load_images(images: ImagesOnDisk, tell: Callable[[str], None]) -> OfficialData:
    """All splits: decoded, or as files where they would not fit in memory.

    Args:
        images: what is there.
        tell: is told what takes long.

    Raises:
        InputError: a file is damaged or of another shape, or an archive is too large for memory.
    """
    container, layout, decoder = images.container, images.layout, images.decoder
    needed = decoder.num_bytes * len(images.members)
    notes: tuple[str, ...] = ()
    if needed <= memory_budget():
        found = _decoded(images, tell)
        splits = {name: ImageSplit(found[name], listed.labels) for name, listed in layout.splits.items()}
        notes = _decoded_notes(images, *found["seen"].tolist())
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
    return OfficialData(splits["train"], splits.get("val"), splits.get("test"), images.holdout, notes)


def _listed(container: Container) -> Listing:
    """What is there; the list of a tar is kept, as making it means reading the whole archive."""
    if not isinstance(container, TarArchive):
        return container.listing()

    def build() -> Arrays:
        listing = container.listing()
        others = [f"{folder}\0{suffix}" for folder, suffix in listing.others]
        return {
            "names": _packed([member.name for member in listing.images]),
            "numbers": np.array([member[1:] for member in listing.images], dtype=np.int64).reshape(-1, 2),
            "folders": _packed(sorted(listing.folders)),
            "others": _packed(others),
            "counts": np.array(list(listing.others.values()), dtype=np.int64),
        }

    place = container.path.resolve()
    found = cached_arrays(f"list-{digest_of(place)[:20]}", digest_of(FORMAT, place, *_own(container)), build)
    others = _unpacked(found["others"])
    return Listing(
        [Member(name, *each) for name, each in zip(_unpacked(found["names"]), found["numbers"].tolist(), strict=True)],
        set(_unpacked(found["folders"])),
        Counter(dict(zip(zip(others[::2], others[1::2], strict=True), found["counts"].tolist(), strict=True))),
    )


def _packed(names: list[str]) -> NDArray[np.uint8]:
    """`names` in one array, each with a NUL behind it."""
    return np.frombuffer("".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape"), dtype=np.uint8)


def _unpacked(packed: NDArray[np.uint8]) -> list[str]:
    return packed.tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1]


def _own(container: Container) -> tuple[int, ...]:
    """What changes when an archive does; of a folder its files say it."""
    status = container.path.stat()
    return () if container.path.is_dir() else (status.st_size, status.st_mtime_ns)


def _all_grey(container: Container, members: Sequence[Member]) -> bool:
    """Whether no file has colour; the answer is kept, as a header of each must be read for it."""
    names = [member.name for member in members]

    def build() -> Arrays:
        with contextlib.closing(container.streams(names)) as streams:
            for name, file in streams:
                with contextlib.suppress(InputError):  # which are damaged is told when all are decoded
                    if not is_grey_file(file, name):
                        return {"grey": np.array(0)}
        return {"grey": np.array(1)}

    place = container.path.resolve()
    key = digest_of(FORMAT, place, *_own(container), *members)
    return bool(cached_arrays(f"grey-{digest_of(place)[:20]}", key, build)["grey"])


def _decoded(images: ImagesOnDisk, tell: Callable[[str], None]) -> Arrays:
    """The pixels of each split, and under ``seen`` how many files were grey and how many not upright."""
    container, layout, members = images.container, images.layout, images.members
    place = container.path.resolve()

    def build() -> Arrays:
        tell(f"decoding {counted(len(members), 'image')}")
        # One pass over the container for all splits: a packed tar can only be read from its start.
        found = decode_members(container, members, images.decoder)
        ends = np.cumsum([len(split.labels) for split in layout.splits.values()])
        seen = np.array([found.num_grey, found.num_turned])
        return {"seen": seen, **dict(zip(layout.splits, np.split(found.pixels, ends[:-1]), strict=True))}

    key = digest_of(FORMAT, place, images.decoder, *_own(container), *members)
    return cached_arrays(f"images-{digest_of(place, images.decoder.resize_to)[:20]}", key, build)


def _decoded_notes(images: ImagesOnDisk, num_grey: int, num_turned: int) -> tuple[str, ...]:
    """What was done to images so that all are alike, and what was not done."""
    num, to_grey = len(images.members), images.decoder.channels == 1
    num_converted = num - num_grey if to_grey else num_grey
    notes: list[str] = []
    if num_converted:
        kinds = ("colour", "grey") if to_grey else ("grey", "colour")
        notes.append(f"{kinds[0]}, and read as {kinds[1]}: {num_converted:,} of the {num:,} images")
    if num_turned and not images.decoder.upright:
        notes.append(
            f"read as they are stored, though their EXIF data say that they are turned: {num_turned:,} of the {num:,} "
            "images; --set data.exif_orientation=true reads them upright"
        )
    return tuple(notes)


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
