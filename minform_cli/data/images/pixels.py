"""Images in memory, as every data set delivers them: uint8 pixels, integer labels, what is derived from both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from minform_cli.data.images.files import ImageFiles
    from minform_cli.data.spec import ImageSpec

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

CHUNK_BYTES = 2**22
"""Pixels per step of a pass over a whole split, so that the pass needs little memory beside the split itself."""


@dataclass(frozen=True)
class ImageSplit:
    """One split.

    Attributes:
        images: (n, C, H, W) pixels 0..255; or, for a folder too large for memory, the files to read them from.
        labels: (n,) class numbers.
    """

    images: Pixels | ImageFiles
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.intp]) -> ImageSplit:
        """The examples at `indices`, in that order."""
        return ImageSplit(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class OfficialData:
    """A data set as its authors publish it, before hold-out and limit.

    Attributes:
        train: the whole training set.
        val: a validation set published apart from it, or None.
        test: the test set, or None.
        holdout: examples of `train` kept for validation where there is no `val`.
        notes: what the user should know of them, a sentence each.
    """

    train: ImageSplit
    val: ImageSplit | None
    test: ImageSplit | None
    holdout: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageData:
    """What a run trains and measures on.

    Attributes:
        spec: shapes, classes, sizes; the sizes are those of the splits below.
        train: after hold-out and `data.limit`.
        val: held out of the training set, or the test set under ``data.validation: test``.
        test: None where there is no test set, or where it is `val`.
        mean: per channel in units of 0..1, over the whole official training set, whatever `data.limit` is.
        std: likewise, the population's standard deviation; 1 for a channel that never changes.
        fingerprint: SHA-256 in hex over the splits above; equal data gives an equal fingerprint on every machine.
        notes: what the user should know of them, a sentence each.
    """

    spec: ImageSpec
    train: ImageSplit
    val: ImageSplit
    test: ImageSplit | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()

    @property
    def tokenizer(self) -> bytes | None:
        """None: there are no tokens."""
        return None


def chunks(images: Pixels) -> Iterator[Pixels]:
    """`images` in pieces of about `CHUNK_BYTES`."""
    step = max(1, CHUNK_BYTES // max(1, images[:1].size))
    return (images[start : start + step] for start in range(0, len(images), step))


def channel_statistics(pieces: Iterable[Pixels]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) per channel in units of 0..1 over all `pieces`, each (n, C, H, W).

    They come from sums of whole numbers, so neither the order nor the size of the pieces can matter.
    """
    total = squares = np.zeros(1, dtype=np.uint64)
    count = 0
    for piece in pieces:
        wide = piece.astype(np.uint32)
        total = total + wide.sum(axis=(0, 2, 3), dtype=np.uint64)
        squares = squares + (wide * wide).sum(axis=(0, 2, 3), dtype=np.uint64)
        count += piece.size // piece.shape[1]
    means: list[float] = []
    stds: list[float] = []
    for s, q in zip(total.tolist(), squares.tolist(), strict=True):
        variance = (count * q - s * s) / (count * count * 255**2)  # exact whole numbers up to this division
        means.append(s / (count * 255))
        stds.append(variance**0.5 or 1.0)
    return tuple(means), tuple(stds)


def fingerprint(splits: dict[str, ImageSplit | None]) -> str:
    """SHA-256 in hex over names, shapes, pixels and labels of `splits`; files stand in by name and size."""
    digest = hashlib.sha256()
    for name, split in splits.items():
        if split is None:
            continue
        digest.update(f"{name} {len(split)} ".encode())
        if isinstance(split.images, np.ndarray):
            digest.update(f"{split.images.shape} ".encode())
            digest.update(np.ascontiguousarray(split.images).data)
        else:
            split.images.update_digest(digest.update)
        digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()
