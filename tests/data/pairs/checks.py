"""What tests of batches of sentence pairs look at."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from minform_cli.data.batch import WHOLE, Batch, Share
from minform_cli.data.pairs.pair_batches import PairBatches
from minform_cli.data.pairs.pair_data import PairData, PairSplit
from tests.data.pairs.made import run_config

CPU = torch.device("cpu")
PAD, CLS, SEP = 0, 2, 3
WAYS: list[dict[str, object]] = [{"batch_tokens": 128}, {"batch_size": 16}]
"""To fill a batch."""

Pair = tuple[list[int], list[int]]


def batches(
    data: PairData, share: Share = WHOLE, device: torch.device = CPU, seed: int = 0, **train: object
) -> PairBatches:
    return PairBatches(data, run_config(seed, **train), device, share)


def with_training(data: PairData, part: PairSplit) -> PairData:
    return PairData(**(vars(data) | {"train": part}))


def same(first: Iterable[Batch], second: Iterable[Batch]) -> bool:
    def equal(a: Tensor | None, b: Tensor | None) -> bool:
        return b is None if a is None else b is not None and a.dtype == b.dtype and torch.equal(a, b)

    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        all(map(equal, (*a.inputs, a.labels, a.numbers), (*b.inputs, b.labels, b.numbers)))
        and (a.elsewhere, a.examples) == (b.elsewhere, b.examples)
        for a, b in zip(first, second, strict=True)
    )


def expected(part: PairSplit, numbers: Tensor | None) -> list[Pair]:
    """Tokens of the pairs with these numbers."""
    assert numbers is not None
    sides = (part.source, part.target)
    return [
        tuple(side.tokens[side.offsets[n] : side.offsets[n + 1]].tolist() for side in sides)  # type: ignore[misc]
        for n in numbers.tolist()
    ]


def found(batch: Batch) -> list[Pair]:
    """Source tokens and labels, without special ones, of each pair; checks everything else."""
    source, target, real, predict = batch.inputs
    assert source is not None
    assert target is not None
    assert batch.numbers is not None
    assert (source.dtype, target.dtype, batch.labels.dtype, batch.numbers.dtype) == (torch.int64,) * 4
    assert len(source) == len(target) == len(batch.numbers)
    real = torch.ones_like(source, dtype=torch.bool) if real is None else real
    predict = torch.arange(target.numel()) if predict is None else predict
    assert (real.dtype, predict.dtype, predict.shape) == (torch.bool, torch.int64, batch.labels.shape)
    predicted = torch.zeros(target.numel(), dtype=torch.bool).scatter_(0, predict, True).view(target.shape)
    assert int(predicted.sum()) == len(predict), "each place once"
    assert torch.equal(predict, predict.sort().values)
    labels = torch.full((target.numel(),), PAD).scatter_(0, predict, batch.labels).view(target.shape)
    result: list[Pair] = []
    for row in range(len(source)):
        length, ends = int(real[row].sum()), int(predicted[row].sum())
        assert real[row, :length].all(), "what is real stands first"
        assert source[row, length - 1] == SEP
        assert (source[row, length:] == PAD).all()
        assert predicted[row, :ends].all()
        assert labels[row, ends - 1] == SEP
        assert target[row, 0] == CLS
        assert torch.equal(target[row, 1:ends], labels[row, : ends - 1]), "a label is what the decoder reads next"
        assert (target[row, ends:] == PAD).all()
        result.append((source[row, : length - 1].tolist(), labels[row, : ends - 1].tolist()))
    return result


def size(batch: Batch) -> int:
    """Tokens of the larger side, filling included."""
    return max(batch.inputs[0].numel(), batch.inputs[1].numel())


def found_widths(part: PairSplit, batch: Batch) -> np.ndarray:
    """Places that the longer sentence of each pair of the batch takes."""
    widths = np.maximum(part.source.lengths, part.target.lengths) + 1
    return widths[batch.numbers.numpy()]
