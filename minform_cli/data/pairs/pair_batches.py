"""Batches of sentence pairs of about one length, so that little is filled up.

Each is a pure function of (seed, epoch, position), so a resumed run repeats and misses none. The pairs are sorted by
length; where batches begin and end depends on the sorted lengths alone, which of equally long pairs are together on
chance, and so does the order of the batches.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minform_cli.config.schema import RunConfig
from minform_cli.data.batch import WHOLE, Batch, Share, Split, generator, there
from minform_cli.data.pairs.pair_data import ADDED, PairData, PairSplit
from minform_cli.data.text.ragged import Ragged
from minform_cli.errors import InputError


class PairBatches:
    """The batches of one run on sentence pairs; see `Batches`.

    Inputs are the source (B, S), tokens and the end; what the decoder reads (B, T), the start and tokens; where the
    source is real (B, S), or None where all is; and the places of the flattened target that are not filling (P,), or
    None where all are. Labels are the tokens that follow at these places, and the end, (P,).

    Raises:
        InputError: a training pair is longer than `train.batch_tokens`.
    """

    def __init__(self, dataset: PairData, config: RunConfig, device: torch.device, share: Share = WHOLE) -> None:
        assert dataset.special.pad is not None, "the tokenizer was asked for it"
        self._pad = dataset.special.pad
        self._dataset = dataset
        self._train = config.train
        self._seed = config.seed
        self._device = device
        self._share = share
        self._widths = _widths(dataset.train)
        longest = np.sort(self._widths.max(0))
        self._ends = self._cut(longest)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch; how many pairs they have differs."""
        return len(self._ends) - 1

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Training batches `start`, `start` + 1, ... of the 0-based `epoch`, in random order."""
        chance = generator(self._seed, epoch)
        mixed = torch.randperm(len(self._dataset.train), generator=chance).numpy()
        order = mixed[_by_length(self._widths[:, mixed])]
        numbers = torch.randperm(self.steps_per_epoch, generator=chance).tolist()
        for number in numbers[start:]:
            yield self._batch(self._dataset.train, order[self._ends[number] : self._ends[number + 1]])

    def evaluation(self, split: Split) -> Iterator[Batch]:
        """Batches of `train.eval_batch_size` pairs of `split`, in order of their length; no empty parts.

        Raises:
            InputError: there is no such split.
        """
        pairs: PairSplit = there(getattr(self._dataset, split), self._dataset.spec)
        order, size = _by_length(_widths(pairs)), self._train.eval_batch_size
        for first in range(0, len(order), size):
            batch = self._batch(pairs, order[first : first + size])
            if len(batch.labels):
                assert batch.numbers is not None, "pairs are numbered"
                yield batch._replace(owners=batch.numbers.repeat_interleave(self._num_labels(pairs, batch.numbers)))

    def _num_labels(self, pairs: PairSplit, numbers: Tensor) -> Tensor:
        return torch.from_numpy(pairs.target.lengths[numbers.numpy()].astype(np.int64) + ADDED)

    def _cut(self, longest: NDArray[np.int64]) -> list[int]:
        """Where batches begin and the last one ends, for pairs whose longer sentences are `longest` (n,), ascending."""
        most = self._train.batch_tokens
        if most is None:
            return [*range(0, len(longest), self._train.batch_size), len(longest)]
        if longest[-1] > most:
            raise InputError(
                f"train.batch_tokens: {most:,} is less than the {longest[-1]:,} tokens, special ones included, of the "
                f"longest sentence of {self._dataset.spec.title}; accepted: {longest[-1]} or more"
            )
        ends = [0]
        while ends[-1] < len(longest):
            first = ends[-1]
            # No more than if all were as short as the first; of those, as many as the last one's length allows.
            widths = longest[first : first + most // longest[first]]
            ends.append(first + int(np.count_nonzero(widths * np.arange(1, len(widths) + 1) <= most)))
        return ends

    def _batch(self, pairs: PairSplit, chunk: NDArray[np.int64]) -> Batch:
        """This process's part of the batch of the pairs in `chunk` (B,); as wide as the whole needs."""
        special, pad = self._dataset.special, self._pad
        part = self._share.of(torch.from_numpy(chunk))
        mine = chunk[part]
        source, real, _ = _filled(pairs.source, chunk, part, special.sep, pad)
        following, places, num_labels = _filled(pairs.target, chunk, part, special.sep, pad)
        starts = torch.full((len(mine), 1), special.cls)
        target = torch.cat([starts, following[:, :-1]], 1)
        if places is not None:
            target.masked_fill_(~places, pad)
        # Of an empty part it must be said that nothing is predicted.
        predict = following.flatten() if not len(mine) else None
        if places is not None:
            predict = places.flatten().nonzero().flatten()
        labels = following.flatten() if predict is None else following.flatten()[predict]
        inputs = (source, target, real, predict)
        return Batch(
            tuple(None if each is None else each.to(self._device) for each in inputs),
            labels.to(self._device),
            num_labels - len(labels),
            len(chunk),
            torch.from_numpy(mine),
        )


def _widths(pairs: PairSplit) -> NDArray[np.int64]:
    """(2, n) places that source and target take, special tokens included."""
    return np.stack([pairs.source.lengths, pairs.target.lengths]) + ADDED


def _by_length(widths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order by the longer sentence, then the shorter one; of pairs that are equal the first comes first."""
    return np.lexsort((widths.min(0), widths.max(0)))


def _filled(
    sentences: Ragged, chunk: NDArray[np.int64], part: slice, end: int, pad: int
) -> tuple[Tensor, Tensor | None, int]:
    """Those of the sentences in `chunk` (B,) that are in `part`, with `end` behind them, filled up with `pad`.

    Returns:
        Tokens (b, W), int64; which of them are no filling (b, W), None if there is none in the whole chunk; and how
        many are no filling in the whole chunk.
    """
    begins = sentences.offsets[chunk]
    lengths = sentences.offsets[chunk + 1] - begins
    width = int(lengths.max()) + ADDED
    places, ends = np.arange(width), lengths[part, None]
    # What lies behind a sentence is replaced; behind the last one, or if none has a token, there is nothing to take.
    index = np.minimum(begins[part, None] + places, max(0, len(sentences.tokens) - 1))
    tokens = sentences.tokens[index] if len(sentences.tokens) else index
    rows = np.where(places < ends, tokens, np.where(places == ends, end, pad)).astype(np.int64)
    has_filling = int(lengths.min()) + ADDED < width
    return (
        torch.from_numpy(rows),
        torch.from_numpy(places <= ends) if has_filling else None,
        int(lengths.sum()) + ADDED * len(chunk),
    )
