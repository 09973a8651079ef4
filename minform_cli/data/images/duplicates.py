"""Images that are measured on and trained on, too: equal pixel by pixel, as they are after decoding."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.images.pixels import ImageSplit, Pixels

SAMPLE = 64
"""Values of each image that are compared first, so that few images have to be compared as a whole."""


def duplicate_notes(splits: Mapping[str, ImageSplit | None]) -> list[str]:
    """A sentence for each split that shares images with ``train``; files that are not in memory are not looked at."""
    train = splits["train"]
    assert train is not None
    names = {"val": "validation images", "test": "test images"}
    notes: list[str] = []
    for split, examples in splits.items():
        if split == "train" or examples is None:
            continue
        if isinstance(train.images, np.ndarray) and isinstance(examples.images, np.ndarray):
            num = num_shared(train.images, examples.images)
            if num:
                notes.append(f"in train, too, pixel by pixel: {num:,} of the {len(examples):,} {names[split]}")
    return notes


def num_shared(train: Pixels, measured: Pixels) -> int:
    """How many images of `measured` (m, C, H, W) are equal to one of `train` (n, C, H, W)."""
    places = np.random.RandomState(0).permutation(measured[:1].size)[:SAMPLE]
    wanted = _samples(measured, places)
    among = set(wanted)
    alike = {number: sample for number, sample in enumerate(_samples(train, places)) if sample in among}
    samples, digests = set(alike.values()), {_digest(train[number]) for number in alike}
    return sum(sample in samples and _digest(image) in digests for sample, image in zip(wanted, measured, strict=True))


def _samples(images: Pixels, places: NDArray[np.intp]) -> list[bytes]:
    return [row.tobytes() for row in images.reshape(len(images), -1)[:, places]]


def _digest(image: Pixels) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
