"""Batches of sentences: each a pure function of (seed, epoch, position), so a resumed run repeats and misses none.

All tokens lie on the device in one array; a batch is gathered from it there, filled up to its longest example.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from minform_cli.config.schema import RunConfig
from minform_cli.data.batch import WHOLE, Batch, Share, Split, generator
from minform_cli.data.glue.sentences import SentenceData, SentenceSplit
from minform_cli.errors import InputError, MachineError

MULTIPLE = 8
"""Lengths of batches are multiples of this, up to `data.seq_len`: widths that matrix units like, and fewer of them."""


class SentenceBatches:
    """The batches of one run on sentences; see `Batches`.

    Inputs are tokens (B, T), types (B, T), 1 in the second sentence of a pair, or None, and where tokens are real
    (B, T), or None where all are. Labels are class numbers (B,), int64, or scores (B,), float32.
    """

    def __init__(self, dataset: SentenceData, config: RunConfig, device: torch.device, share: Share = WHOLE) -> None:
        self._dataset = dataset
        self._config = config
        self._device = device
        self._share = share
        self._resident: dict[Split, _ResidentTokens] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch; the last may be smaller than the others."""
        return math.ceil(len(self._dataset.train) / self._config.train.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Training batches `start`, `start` + 1, ... of the 0-based `epoch`, shuffled.

        Raises:
            MachineError: the tokens do not fit on the device.
        """
        examples = self._examples("train")
        order = torch.randperm(len(self._dataset.train), generator=generator(self._config.seed, epoch))
        for chunk in order.split(self._config.train.batch_size)[start:]:
            yield examples.batch(chunk, self._share)

    def evaluation(self, split: Split) -> Iterator[Batch]:
        """Batches of `train.eval_batch_size` of `split`, in its own order; no empty parts.

        Raises:
            InputError: there is no such split.
            MachineError: the tokens do not fit on the device.
        """
        examples = self._examples(split)
        for chunk in torch.arange(len(examples.lengths)).split(self._config.train.eval_batch_size):
            batch = examples.batch(chunk, self._share)
            if len(batch.labels):
                yield batch._replace(owners=chunk[self._share.of(chunk)])

    def _examples(self, split: Split) -> _ResidentTokens:
        """The examples of `split`; moved to the device when first asked for."""
        if split not in self._resident:
            examples: SentenceSplit | None = getattr(self._dataset, split)
            if examples is None:
                raise InputError(
                    f"{self._dataset.spec.title} has no test split: the labels of GLUE's are not published"
                )
            self._resident[split] = _ResidentTokens(examples, self._dataset, self._device)
        return self._resident[split]


class _ResidentTokens:
    """The examples of a split, on the device; their `lengths` on the CPU, where the width of a batch is found."""

    def __init__(self, split: SentenceSplit, dataset: SentenceData, device: torch.device) -> None:
        self._pad = dataset.pad
        self._seq_len = dataset.spec.seq_len
        offsets = torch.from_numpy(split.offsets)
        self.lengths = offsets.diff()
        try:
            self._tokens = torch.from_numpy(split.tokens).to(device)
            self._starts = offsets.to(device)
            self._seconds = None if split.seconds is None else torch.from_numpy(split.seconds).to(device)
            self._labels = torch.from_numpy(split.labels).to(device)
        except torch.OutOfMemoryError as error:
            raise MachineError(
                f"{split.tokens.nbytes / 2**30:.1f} GiB of tokens do not fit on {device}: lower data.limit"
            ) from error

    def batch(self, chunk: Tensor, share: Share) -> Batch:
        """The `share` of the examples whose numbers are in `chunk` (B,), on the CPU; as wide as the whole needs."""
        lengths = self.lengths[chunk]
        longest, shortest = int(lengths.max()), int(lengths.min())
        width = min(self._seq_len, math.ceil(longest / MULTIPLE) * MULTIPLE)
        mine = chunk[share.of(chunk)].to(self._tokens.device)
        places = torch.arange(width, device=self._tokens.device)
        starts, ends = self._starts[mine, None], self._starts[mine + 1, None]
        real = places < ends - starts
        # The last example's filling would lie behind the array.
        index = (starts + places).clamp_(max=len(self._tokens) - 1)
        tokens = self._tokens[index].long().masked_fill_(~real, self._pad)
        types = None if self._seconds is None else ((places >= self._seconds[mine, None]) & real).long()
        inputs = (tokens, types, None if shortest == width else real)
        return Batch(inputs, self._labels[mine], len(chunk) - len(mine))
