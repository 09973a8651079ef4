"""MNIST's file format (IDX), packed with gzip or not, and the data sets that come in it.

An IDX file of bytes: magic 0x0000_08_d with d dimensions, d big-endian 32-bit sizes, then the bytes.
Integrity is judged by the unpacked bytes wherever their SHA-256 is known, because mirrors pack differently.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minform_cli.data import cache
from minform_cli.data.download import Remote, fetch
from minform_cli.data.images.pixels import ImageSplit, OfficialData
from minform_cli.errors import InputError

SIDE = 28
"""Height and width of the images of every data set in this format here, in pixels."""


@dataclass(frozen=True)
class IdxFile:
    """One published file.

    Attributes:
        name: without ``.gz``.
        count: how many images or labels it holds.
        sha256: of the unpacked bytes, where it is known.
        packed_sha256: of the published ``.gz``, where mirrors serve one and the same.
        per_class: labels of each class, where all classes have the same number.
    """

    name: str
    count: int
    sha256: str | None = None
    packed_sha256: str | None = None
    per_class: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array inside: images are (n, 28, 28), labels (n,)."""
        return (self.count, SIDE, SIDE) if "images" in self.name else (self.count,)


@dataclass(frozen=True)
class IdxSet:
    """A data set of four such files.

    Attributes:
        title: its name in messages.
        folders: below a data root, where the files may lie; downloads go to the first.
        mirrors: addresses of a folder with the packed files, each ending in a slash.
        train_images, train_labels, test_images, test_labels: the files.
    """

    title: str
    folders: tuple[str, ...]
    mirrors: tuple[str, ...]
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile


def load_idx(published: IdxSet, holdout: int) -> OfficialData:
    """The training and test set of `published`, from the user's files or downloaded.

    Raises:
        InputError: a file is damaged or cannot be had.
        MachineError: a download cannot be written.
    """
    train = _split(published, published.train_images, published.train_labels)
    test = _split(published, published.test_images, published.test_labels)
    return OfficialData(train, None, test, holdout)


def _split(published: IdxSet, images: IdxFile, labels: IdxFile) -> ImageSplit:
    pixels = _load(published, images)[:, None]  # one channel
    return ImageSplit(pixels, _load(published, labels).astype(np.int64))


def _load(published: IdxSet, file: IdxFile) -> NDArray[np.uint8]:
    # Where the user or an earlier download left it; torchvision's names, packed or not.
    path = cache.find(*(f"{folder}/{file.name}{end}" for folder in published.folders for end in ("", ".gz")))
    path = path or _download(published, file)
    try:
        return _parse(_unpacked(path, file), file)
    except ValueError as error:
        raise InputError(
            f"{published.title}: {str(path)!r} is damaged ({error}): "
            f"remove it to download it again, or replace it by {published.mirrors[0]}{file.name}.gz"
        ) from None


def _download(published: IdxSet, file: IdxFile) -> Path:
    name = f"{file.name}.gz"
    remote = Remote(name, tuple(mirror + name for mirror in published.mirrors), _problem_with(file))
    return fetch(remote, cache.download_root() / published.folders[0])


def _problem_with(file: IdxFile) -> Callable[[Path], str | None]:
    def problem(path: Path) -> str | None:
        try:
            _parse(_unpacked(path, file), file)
        except ValueError as error:
            return str(error)
        return None

    return problem


def _unpacked(path: Path, file: IdxFile) -> bytes:
    """The bytes of the IDX file; never more than one beyond what the shape allows, however much is packed in it.

    Raises:
        ValueError: what is wrong with it, in a few words.
    """
    most = int(np.prod(file.shape)) + 4 * (1 + len(file.shape))
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            # A compressed stream of noise is a little longer than the noise; twice is beyond anything honest.
            content = raw.read(2 * most + 1024)
        if packed and file.packed_sha256 and hashlib.sha256(content).hexdigest() != file.packed_sha256:
            raise ValueError("wrong SHA-256")
        if packed:
            with gzip.open(path) as stream:
                content = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
    if file.sha256 and hashlib.sha256(content).hexdigest() != file.sha256:
        raise ValueError("wrong SHA-256" if len(content) == most else f"{len(content)} bytes instead of {most}")
    return content


def _parse(content: bytes, file: IdxFile) -> NDArray[np.uint8]:
    """The array in an IDX file.

    Raises:
        ValueError: header, length or labels are not those of `file`.
    """
    dims = len(file.shape)
    if len(content) < 4 * (1 + dims):
        raise ValueError("shorter than its header")
    magic, *sizes = struct.unpack(f">{1 + dims}I", content[: 4 * (1 + dims)])
    if magic != 0x800 + dims or tuple(sizes) != file.shape:
        raise ValueError(f"the header does not say {' x '.join(map(str, file.shape))} bytes")
    array = np.frombuffer(content, dtype=np.uint8, offset=4 * (1 + dims))
    if array.size != int(np.prod(file.shape)):
        raise ValueError(f"{array.size} bytes after the header instead of {int(np.prod(file.shape))}")
    if dims == 1:
        counts = np.bincount(array, minlength=10)
        if len(counts) > 10 or (file.per_class and not bool((counts == file.per_class).all())):
            raise ValueError("labels are not those of the published file")
    return array.reshape(file.shape)
