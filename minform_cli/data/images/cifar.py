"""CIFAR's binary format: records of label bytes and 3x32x32 pixels, in a .tar.gz that is read without unpacking it.

The Python archives of the same data are pickles, which can run code when they are opened; they are never touched.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minform_cli.data import cache
from minform_cli.data.download import Remote, fetch
from minform_cli.data.images.pixels import ImageSplit, OfficialData
from minform_cli.errors import InputError

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class CifarSet:
    """One of the two data sets.

    Attributes:
        title: its name in messages.
        folder: below a data root, where a download is kept.
        archive, url, sha256: the published file.
        inner: folder inside the archive, and its name where somebody unpacked it.
        train_files: file name -> SHA-256, in the order of the training set.
        test_files: likewise for the test set.
        label_bytes: per record; the last one is the class.
        num_classes: how many classes there are.
        pickled: names of the Python version, which cannot be used.
    """

    title: str
    folder: str
    archive: str
    url: str
    sha256: str
    inner: str
    train_files: dict[str, str]
    test_files: dict[str, str]
    label_bytes: int
    num_classes: int
    pickled: tuple[str, ...]


def load_cifar(published: CifarSet, holdout: int) -> OfficialData:
    """The training and test set of `published`, from the user's files or downloaded.

    Raises:
        InputError: a file is damaged or cannot be had.
        MachineError: the download cannot be written.
    """
    path = cache.find(*_places(published, published.inner, published.archive)) or _download(published)
    names = [*published.train_files, *published.test_files]
    try:
        contents = _read_folder(published, path, names) if path.is_dir() else _read_archive(published, path, names)
        train = [_records(contents[name], published) for name in published.train_files]
        test = [_records(contents[name], published) for name in published.test_files]
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(
            f"{published.title}: {str(path)!r} is damaged ({reason}): "
            f"remove it to download it again, or replace it by {published.url}"
        ) from None
    return OfficialData(_joined(train), None, _joined(test), holdout)


def _download(published: CifarSet) -> Path:
    def problem(path: Path) -> str | None:
        with path.open("rb") as file:
            right = hashlib.file_digest(file, "sha256").hexdigest() == published.sha256
        return None if right else "wrong SHA-256"

    try:
        remote = Remote(published.archive, (published.url,), problem)
        return fetch(remote, cache.download_root() / published.folder)
    except InputError as error:
        found = cache.find(*_places(published, *published.pickled))
        if found is None:
            raise
        raise InputError(
            f"{error} ({str(found)!r} is the pickled version, which is never opened because a pickle can run code)"
        ) from None


def _places(published: CifarSet, *names: str) -> list[str]:
    """`names` below a data root, and below the folder there that downloads go to."""
    return [f"{folder}{name}" for folder in ("", f"{published.folder}/") for name in names]


def _read_folder(published: CifarSet, folder: Path, names: list[str]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    checksums = published.train_files | published.test_files
    for name in names:
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{name} is missing")
        contents[name] = path.read_bytes()
        if hashlib.sha256(contents[name]).hexdigest() != checksums[name]:
            raise ValueError(f"{name} has a wrong SHA-256")
    return contents


def _read_archive(published: CifarSet, path: Path, names: list[str]) -> dict[str, bytes]:
    """The named members; the archive's checksum comes first, so nothing else needs to be defended against."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != published.sha256:
            raise ValueError("wrong SHA-256")
    wanted = {f"{published.inner}/{name}": name for name in names}
    contents: dict[str, bytes] = {}
    with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name in wanted else None
            if content is not None:
                contents[wanted[member.name]] = content.read()
    missing = sorted(set(names) - set(contents))
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return contents


def _records(content: bytes, published: CifarSet) -> ImageSplit:
    width = published.label_bytes + PIXELS
    if not content or len(content) % width:
        raise ValueError(f"not a whole number of records of {width} bytes")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, width)
    labels = records[:, published.label_bytes - 1].astype(np.int64)
    if labels.max() >= published.num_classes:
        raise ValueError(f"label {labels.max()} of {published.num_classes} classes")
    return ImageSplit(records[:, published.label_bytes :].reshape(-1, 3, 32, 32), labels)


def _joined(parts: list[ImageSplit]) -> ImageSplit:
    images = np.concatenate([np.asarray(part.images) for part in parts])
    return ImageSplit(images, np.concatenate([part.labels for part in parts]))
