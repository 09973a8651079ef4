"""A few training examples of a data set, chosen by a seed alone, and the digest that says which they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.glue.sentences import SentenceData, SentenceSplit
from minform_cli.data.images.pixels import ImageData, ImageSplit
from minform_cli.data.load import Data
from minform_cli.data.pairs.load import PairData, PairSplit
from minform_cli.data.pairs.ragged import Ragged, ragged
from minform_cli.data.text.corpora import TextData

Places = NDArray[np.intp]


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
    if isinstance(data, ImageData):
        return replace(data, train=data.train.take(places))
    if isinstance(data, SentenceData):
        lengths = np.diff(data.train.offsets)[places]
        return replace(data, train=sentences(data.train, places[np.argsort(lengths, kind="stable")]))
    if isinstance(data, PairData):
        return replace(data, train=_pairs(data.train, places))
    assert isinstance(data, TextData), "a data set is of images, sentences, pairs of them or text"
    return replace(data, train=replace(data.train, chosen=data.train.chosen[places]))


def sample_digest(data: Data) -> str:
    """SHA-256 in hex over the pixels or tokens of the training examples, labels left out; equal on every machine.

    Files that are too large for memory stand in by name and size.
    """
    digest = hashlib.sha256()
    _update(data, digest.update)
    return digest.hexdigest()


def sentences(split: SentenceSplit, places: Places) -> SentenceSplit:
    """The sentences at `places`, in that order."""
    pieces = [split.tokens[split.offsets[place] : split.offsets[place + 1]] for place in places.tolist()]
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    return SentenceSplit(
        tokens=np.concatenate(pieces) if pieces else split.tokens[:0],
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        seconds=None if split.seconds is None else split.seconds[places],
        labels=split.labels[places],
        num_cut=0,
    )


def _train(data: Data) -> Any:
    assert isinstance(data, ImageData | SentenceData | PairData | TextData)
    return data.train


def _pairs(split: PairSplit, places: Places) -> PairSplit:
    references = tuple(split.references[place] for place in places.tolist()) if split.references else ()
    return PairSplit(_rows(split.source, places), _rows(split.target, places), references)


def _rows(row: Ragged, places: Places) -> Ragged:
    pieces = [row[place] for place in places.tolist()]
    return ragged(np.concatenate(pieces) if pieces else row.tokens[:0], row.lengths[places])


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
        update(train.tokens.astype("<i4").tobytes())
        update(train.offsets.astype("<i8").tobytes())
        if train.seconds is not None:
            update(train.seconds.astype("<i8").tobytes())
    elif isinstance(train, PairSplit):
        update(b"pairs ")
        for row in (train.source, train.target):
            update(row.tokens.astype("<i4").tobytes())
            update(row.offsets.astype("<i8").tobytes())
    else:
        update(b"spans ")
        update(train.take(np.arange(len(train))).astype("<i4").tobytes())
