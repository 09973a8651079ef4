"""Batches of sequences of a text, for the tasks that predict its own tokens: some that are hidden, or each next one.

Which tokens are hidden is drawn on the CPU for the whole batch and cut afterwards, so it is the same on every device,
however many processes share the batch. In evaluation it depends on a sequence's place in its split and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from minform_cli.config.schema import RunConfig
from minform_cli.data.batch import Batch, Share, Split, generator, there
from minform_cli.data.text.corpora import TextData
from minform_cli.data.text.tokenizer import from_json
from minform_cli.data.text.tokens import Sequences

MASKED, REPLACED = 0.8, 0.1
"""Of the hidden tokens: shown as the mask entry, and as a random one; the rest stays as it is (BERT, appendix A.1)."""

EVALUATION_SEED = 3
"""Of what is hidden in evaluation: the same for every run's seed, in every epoch."""

EVALUATION_BLOCK = 64
"""Sequences that one stream of random numbers is for, in evaluation: more than one, for speed alone."""


DRAWS = 3
"""Random numbers for a token: whether it is hidden, what is shown in its place, and which entry if a random one."""


class TextBatches:
    """The batches of one run on text; see `Batches`. Labels are entries of the vocabulary, one a predicted token."""

    def __init__(self, dataset: TextData, config: RunConfig, device: torch.device, share: Share) -> None:
        self._dataset = dataset
        self._train = config.train
        self._seed = config.seed
        self._device = device
        self._share = share
        self._masks = _Masks(dataset, config.data.mask_rate) if config.task == "masked-tokens" else None

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch; the last may be smaller than the others."""
        return math.ceil(len(self._dataset.train) / self._train.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Training batches `start`, `start` + 1, ... of the 0-based `epoch`, shuffled; each hides other tokens."""
        sequences = self._dataset.train
        order = torch.randperm(len(sequences), generator=generator(self._seed, epoch))
        for number, chunk in enumerate(order.split(self._train.batch_size)[start:], start):
            if self._masks is None:
                yield self._next_tokens(sequences, chunk)
            else:
                shape = (DRAWS, len(chunk), sequences.length)
                draws = torch.rand(shape, generator=generator(self._seed, epoch, number))
                yield self._masked_tokens(self._masks, sequences, chunk, draws)

    def evaluation(self, split: Split) -> Iterator[Batch]:
        """Batches of `train.eval_batch_size` sequences of `split`, in its own order; no empty parts.

        Raises:
            InputError: there is no such split.
        """
        sequences: Sequences = there(getattr(self._dataset, split), self._dataset.spec)
        for chunk in torch.arange(len(sequences)).split(self._train.eval_batch_size):
            part = self._share.of(chunk)
            if part.start == part.stop:
                continue
            if self._masks is None:
                batch = self._next_tokens(sequences, chunk)
                predicted = torch.arange(len(batch.labels))
            else:
                batch = self._masked_tokens(self._masks, sequences, chunk, _fixed_draws(chunk, sequences.length))
                predicted = cast(Tensor, batch.inputs[3]).cpu()
            rows = predicted // cast(Tensor, batch.inputs[0]).shape[1]
            yield batch._replace(owners=chunk[part][rows])

    def _next_tokens(self, sequences: Sequences, chunk: Tensor) -> Batch:
        """This process's part of the batch of the sequences `chunk`."""
        special, mine = self._dataset.special, chunk[self._share.of(chunk)]
        spans = F.pad(torch.from_numpy(sequences.take(mine.numpy())), (1, 0), value=special.cls)
        labels = F.pad(spans[:, 1:], (0, 1), value=special.sep)
        elsewhere = (len(chunk) - len(mine)) * labels.shape[1]
        # All are predicted, which needs no saying; but of an empty part it must be said that none is.
        said = () if len(mine) else (None, None, labels.flatten().to(self._device))
        inputs = (spans.to(self._device), *said)
        return Batch(inputs, labels.flatten().to(self._device), elsewhere, len(chunk))

    def _masked_tokens(
        self, masks: _Masks, sequences: Sequences, chunk: Tensor, draws: Float[Tensor, "3 b s"]
    ) -> Batch:
        """This process's part of the batch of the sequences `chunk`; `draws` are random in [0, 1)."""
        special, part = self._dataset.special, self._share.of(chunk)
        # The whole batch, as a process must know how many labels the others have.
        spans = torch.from_numpy(sequences.take(chunk.numpy()))
        hidden = masks.hidden(spans, draws[0])
        elsewhere = int(hidden.sum())
        spans, hidden, draws = spans[part], hidden[part], draws[:, part]
        shown = F.pad(masks.shown(spans, hidden, draws[1], draws[2]), (1, 0), value=special.cls)
        tokens = F.pad(shown, (0, 1), value=special.sep)
        predict = F.pad(hidden, (1, 1)).flatten().nonzero().flatten()
        labels = spans[hidden]
        inputs = (tokens.to(self._device), None, None, predict.to(self._device))
        return Batch(inputs, labels.to(self._device), elsewhere - len(labels), len(chunk))


class _Masks:
    """What is hidden, and what is shown in its place."""

    def __init__(self, dataset: TextData, rate: float) -> None:
        special = dataset.special
        self._rate = rate
        if special.mask is None:
            from_json(dataset.tokenizer, "data.tokenizer", needs=("mask",))
        assert special.mask is not None, "else that is refused"
        self._mask = special.mask
        self._special = torch.tensor(special.numbers)
        self._ordinary = torch.from_numpy(dataset.ordinary)

    def hidden(self, spans: Int[Tensor, "b s"], draws: Float[Tensor, "b s"]) -> Bool[Tensor, "b s"]:
        """Each ordinary token with probability `rate`, and the one of the lowest draw of each sequence in any case.

        So no sequence is without one, as in BERT, whichever part of a batch it is in.
        """
        draws = draws.masked_fill(torch.isin(spans, self._special), 2.0)
        return (draws < self._rate).scatter(1, draws.argmin(1, keepdim=True), True)

    def shown(
        self,
        spans: Int[Tensor, "b s"],
        hidden: Bool[Tensor, "b s"],
        how: Float[Tensor, "b s"],
        what: Float[Tensor, "b s"],
    ) -> Int[Tensor, "b s"]:
        """The tokens that the model sees; `how` and `what` are random in [0, 1)."""
        random = self._ordinary[(what.double() * len(self._ordinary)).long()]
        replaced = torch.where(how < MASKED + REPLACED, random, spans)
        return torch.where(hidden, torch.where(how < MASKED, self._mask, replaced), spans)


def _fixed_draws(chunk: Tensor, length: int) -> Float[Tensor, "3 b s"]:
    """Random numbers in [0, 1) for sequences side by side: of each its own, whatever batch it is in."""
    first, end = int(chunk[0]), int(chunk[-1]) + 1
    blocks = range(first // EVALUATION_BLOCK, -(-end // EVALUATION_BLOCK))
    shape = (DRAWS, EVALUATION_BLOCK, length)
    drawn = torch.cat([torch.rand(shape, generator=generator(EVALUATION_SEED, block)) for block in blocks], 1)
    start = blocks.start * EVALUATION_BLOCK
    return drawn[:, first - start : end - start]
