"""A few training examples of a data set, chosen by a seed alone, and the digest that says which they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minform_cli.data.glue.sentences import SentenceData, SentenceSplit
from minform_cli.data.images.pixels import ImageData, ImageSplit
from minform_cli.data.load import Data
from minform_cli.data.pairs.pair_data import PairData, PairSplit
from minform_cli.data.text.corpora import TextData


def num_train(data: Data) -> int:
    """Training examples there are."""
    return len(_train(data))


def sampled(data: Data, number: int, seed: int) -> Data:
    """`data` with so many of its training examples, each once; those of different lengths ascend by length.

    Args:
        data: a data set in memory.
        number: as many as there are, or fewer.
        seed: of the choice; the same everywhere.
    """
    train = _train(data)
    assert number <= len(train), "the caller asked for as many as there are"
    places = np.sort(np.random.RandomState(seed).permutation(len(train))[:number])
    if isinstance(data, SentenceData):
        places = places[np.argsort(data.train.lengths[places], kind="stable")]
    if isinstance(data, ImageData | SentenceData | PairData):
        return replace(data, train=data.train.take(places))
    assert isinstance(data, TextData), "a data set is of images, sentences, pairs of them or text"
    return replace(data, train=replace(data.train, chosen=data.train.chosen[places]))


def sample_digest(data: Data) -> str:
    """SHA-256 in hex over the pixels or tokens of the training examples, labels left out; equal on every machine.

    Files that are too large for memory stand in by name and size.
    """
    digest = hashlib.sha256()
    _update(data, digest.update)
    return digest.hexdigest()


def _train(data: Data) -> Any:
    assert isinstance(data, ImageData | SentenceData | PairData | TextData)
    return data.train


def _update(data: Data, update: Callable[[bytes], object]) -> None:
    train = _train(data)
    if isinstance(train, ImageSplit):
        update(f"images {train.images.shape} ".encode())
        if isinstance(train.images, np.ndarray):
            update(np.ascontiguousarray(train.images).tobytes())
        else:
            train.images.update_digest(update)
    elif isinstance(train, SentenceSplit):
        update(b"sentences ")
        train.update_digest(update)
        if train.seconds is not None:
            update(train.seconds.astype("<i8").tobytes())
    elif isinstance(train, PairSplit):
        update(b"pairs ")
        for row in (train.source, train.target):
            row.update_digest(update)
    else:
        update(b"spans ")
        update(train.take(np.arange(len(train))).astype("<i4").tobytes())
