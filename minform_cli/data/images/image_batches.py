"""Batches of images by index, each a pure function of (seed, epoch, position).

The uint8 pixels lie on the device (or come from worker processes, for a folder too large for memory); augmentation and
normalisation run there on whole batches. Random numbers are drawn on the CPU, so they are the same on every device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from minform_cli.config.schema import DataConfig, TrainConfig
from minform_cli.data.batch import WHOLE, Batch, Second, Share, Split, generator, there
from minform_cli.data.images.augment import drawn, erased, mixed, moved, varied
from minform_cli.data.images.files import ImageFiles
from minform_cli.data.images.pixels import ImageData, ImageSplit, Pixels
from minform_cli.data.images.stream import read_batches
from minform_cli.errors import MachineError


class ImageBatches:
    """The batches of one run on images; see `Batches`. Labels are class numbers."""

    def __init__(
        self,
        dataset: ImageData,
        data: DataConfig,
        train: TrainConfig,
        seed: int,
        device: torch.device,
        share: Share = WHOLE,
    ) -> None:
        self._dataset = dataset
        self._data = data
        self._train = train
        self._seed = seed
        self._device = device
        self._share = share
        self._sources: dict[Split, tuple[_Readable, Tensor]] = {}
        scale, shift = normalization(dataset, data)
        self._scale = scale.to(device)
        self._shift = shift.to(device)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch; the last may be smaller than the others."""
        return math.ceil(len(self._dataset.train) / self._train.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Training batches `start`, `start` + 1, ... of the 0-based `epoch`, shuffled and augmented.

        Raises:
            InputError: a file of a streamed folder is missing or damaged.
            MachineError: the images do not fit on the device.
        """
        source, labels = self._source("train")
        order = torch.randperm(len(labels), generator=generator(self._seed, epoch))
        chunks = order.split(self._train.batch_size)[start:]
        places = [self._places(len(chunk)) for chunk in chunks]
        parts = [chunk[place] for chunk, place in zip(chunks, places, strict=True)]
        for number, pixels in enumerate(source.read(parts)):
            size, part = len(chunks[number]), parts[number]
            key = self._seed, epoch, start + number
            images = self._augmented(pixels, key, size, places[number])
            yield self._mixed(images, labels[part.to(self._device)], key, size)

    @property
    def _mixes(self) -> bool:
        return self._data.mixup > 0 or self._data.cutmix > 0

    def _places(self, size: int) -> Tensor:
        """Which of a batch of `size` are needed: this process's share, after the one before it if that is mixed in."""
        places = torch.arange(size)
        places = places[self._share.of(places)]
        return torch.cat([(places[:1] - 1) % size, places]) if self._mixes else places

    def _augmented(self, pixels: Tensor, key: tuple[int, int, int], size: int, places: Tensor) -> Tensor:
        """Each image changed by itself, and normalised."""
        data = self._data
        pixels = moved(pixels, data, generator(*key), size, places)
        if data.auto_augment is not None:
            pixels = varied(pixels, data.auto_augment, generator(*key, 1), size, places)
        images = self._normalized(pixels)
        if data.random_erasing:
            images = erased(images, data.random_erasing, generator(*key, 2), size, places)
        return images

    def _mixed(self, images: Tensor, labels: Tensor, key: tuple[int, int, int], size: int) -> Batch:
        """The batch of these images; where they are mixed, the first is there for the second alone."""
        mix = drawn(self._data, generator(*key, 3), *images.shape[2:]) if self._mixes else None
        if mix is None or not len(labels):
            return Batch((images,), labels, size - len(labels))
        both = Second(labels[:-1], mix.weight)
        return Batch((mixed(images[1:], images[:-1], mix),), labels[1:], size - len(both.labels), second=both)

    def evaluation(self, split: Split) -> Iterator[Batch]:
        """Batches of `train.eval_batch_size` of `split`, in its own order, without augmentation; no empty parts.

        Raises:
            InputError: there is no such split, or a file of a streamed folder is missing or damaged.
            MachineError: the images do not fit on the device.
        """
        source, labels = self._source(split)
        chunks = torch.arange(len(labels)).split(self._train.eval_batch_size)
        shared = [(len(chunk), chunk[self._share.of(chunk)]) for chunk in chunks]
        shared = [(size, part) for size, part in shared if len(part)]
        for pixels, (size, part) in zip(source.read([part for _, part in shared]), shared, strict=True):
            mine = labels[part.to(self._device)]
            yield Batch((self._normalized(pixels),), mine, size - len(part), owners=part)

    def _normalized(self, pixels: Tensor) -> Tensor:
        return pixels.to(torch.float32).mul_(self._scale).add_(self._shift)

    def _source(self, split: Split) -> tuple[_Readable, Tensor]:
        """Where the pixels of `split` come from, and its labels on the device; moved there when first asked for."""
        if split not in self._sources:
            examples: ImageSplit = there(getattr(self._dataset, split), self._dataset.spec)
            source: _Readable
            if isinstance(examples.images, ImageFiles):
                source = _Streamed(examples.images, self._device)
            else:
                source = _ResidentPixels(examples.images, self._device)
            self._sources[split] = source, torch.from_numpy(examples.labels.copy()).to(self._device)
        return self._sources[split]


def normalization(dataset: ImageData, data: DataConfig) -> tuple[Tensor, Tensor]:
    """(scale, shift), each (C, 1, 1), float32, such that the normalised image is ``pixels * scale + shift``."""
    if data.normalize == "unit-range":
        mean = [0.5] * dataset.spec.channels
        std = [0.5] * dataset.spec.channels
    else:
        mean, std = list(dataset.mean), list(dataset.std)
    exact = torch.tensor([mean, std], dtype=torch.float64)[..., None, None]
    return (1 / (255 * exact[1])).float(), (-exact[0] / exact[1]).float()


class _Readable(Protocol):
    def read(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """For each tensor of indices (on the CPU), the uint8 pixels (B, C, H, W) on the device."""
        ...


class _ResidentPixels:
    """Pixels that lie on the device."""

    def __init__(self, images: Pixels, device: torch.device) -> None:
        try:
            self._images = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(device)
        except torch.OutOfMemoryError as error:
            raise MachineError(
                f"{images.nbytes / 2**30:.1f} GiB of images do not fit on {device}: lower data.limit or data.image_size"
            ) from error

    def read(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        for chunk in chunks:
            yield self._images.index_select(0, chunk.to(self._images.device))


class _Streamed:
    """Pixels that worker processes read from files."""

    def __init__(self, files: ImageFiles, device: torch.device) -> None:
        self._files = files
        self._device = device

    def read(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        for pixels in read_batches(self._files, [chunk.numpy() for chunk in chunks]):
            yield torch.from_numpy(pixels).to(self._device)
