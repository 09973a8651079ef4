"""The one entry point of training to examples: reads a data set, holds a part out, applies `data.limit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from minform_cli.config.schema import DataConfig
from minform_cli.data.images.duplicates import duplicate_notes
from minform_cli.data.images.pixels import ImageData, ImageSplit, OfficialData, channel_statistics, chunks, fingerprint
from minform_cli.data.source import Source, opened
from minform_cli.data.spec import DATA_SETS, DataSpec, ImageSpec
from minform_cli.data.split import HOLDOUT_SEED, LIMIT_SEED, stratified
from minform_cli.errors import InputError

SAMPLE_SEED = 2
"""Which images of a streamed folder the channel statistics are taken from."""

SAMPLE_SIZE = 2_000
"""How many of them: a pass over all would read the whole folder before the first step."""

SAMPLE_BATCH = 50


class Data(Protocol):
    """A data set as a run takes it."""

    @property
    def spec(self) -> DataSpec:
        """The sizes are those of the splits."""
        ...

    @property
    def test(self) -> object | None:
        """The test split; None where there is none, or where it is the validation split."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex over all that the run trains and measures on."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of it."""
        ...

    @property
    def tokenizer(self) -> bytes | None:
        """Content of the file that makes tokens of text, which a run keeps; None for images."""
        ...


def load_data(data: DataConfig, tell: Callable[[str], None] | None = None) -> Data:
    """The examples that `data` asks for: an `ImageData`, or what a data set of text makes of its own.

    Args:
        data: which.
        tell: is told what takes long.

    Raises:
        InputError: a file is missing, damaged or of another shape, or cannot be downloaded.
        MachineError: a download cannot be written.
    """
    return opened(data).load(tell)


def load_source(source: Source, tell: Callable[[str], None] | None = None) -> Data:
    """The examples of a source whose files were listed; errors as `load_data` raises them."""
    data, spec, data_set = source.data, source.spec, DATA_SETS.get(source.data.name)
    if not isinstance(spec, ImageSpec):
        text: Data = data_set.load(data, tell or _silent)
        return text
    listed = () if source.files is None else (source.files, tell or _silent)
    official: OfficialData = data_set.load_official(data, *listed)
    train, val, test = _splits(official, data)
    if data.limit is not None:
        train = train.take(stratified(train.labels, data.limit, LIMIT_SEED))
    _check(spec, train, val, test)
    mean, std = _statistics(official.train)
    splits = {"train": train, "val": val, "test": test}
    # What the user put together may hold an image twice; a published set is what its papers took.
    shared = duplicate_notes(splits) if source.files is not None else []
    return ImageData(spec, train, val, test, mean, std, fingerprint(splits), (*source.notes, *official.notes, *shared))


def _silent(_text: str) -> None:
    """Nobody listens."""


def _splits(official: OfficialData, data: DataConfig) -> tuple[ImageSplit, ImageSplit, ImageSplit | None]:
    if data.validation == "test":
        assert official.test is not None, "the spec refuses validation on a test split that is not there"
        return official.train, official.test, None
    if official.val is not None:
        return official.train, official.val, official.test
    held_out = stratified(official.train.labels, official.holdout, HOLDOUT_SEED)
    kept = np.setdiff1d(np.arange(len(official.train)), held_out)
    return official.train.take(kept), official.train.take(held_out), official.test


def _check(spec: ImageSpec, train: ImageSplit, val: ImageSplit, test: ImageSplit | None) -> None:
    """A folder may change between the listing and the reading; anything else here is our bug."""
    found = (len(train), len(val), len(test) if test else 0)
    if found != (spec.num_train, spec.num_val, spec.num_test) or train.images.shape[1:] != (
        spec.channels,
        spec.height,
        spec.width,
    ):
        raise InputError(f"{spec.title}: the files changed while they were read; try again")


def _statistics(train: ImageSplit) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Exact over the whole training set; for files too large for memory, over a fixed stratified sample of them."""
    images = train.images
    if isinstance(images, np.ndarray):
        return channel_statistics(chunks(images))
    from minform_cli.data.images.stream import (
        read_batches,  # torch, which an image folder that fits in memory can do without
    )

    size = min(len(train), max(SAMPLE_SIZE, len(np.unique(train.labels))))
    sample = stratified(train.labels, size, SAMPLE_SEED)
    return channel_statistics(read_batches(images, np.array_split(sample, -(-size // SAMPLE_BATCH))))
