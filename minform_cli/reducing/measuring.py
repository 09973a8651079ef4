"""What a reduced model is worth beside its original: the task's metric, or how near its outputs are; and its speed.

Times are taken in turns, original and reduced, so that what else the machine does falls on both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minform_cli.data.batches import make_batches
from minform_cli.reducing.calibration import Inputs, batched
from minform_cli.reducing.examples import Examples
from minform_cli.reducing.records import LatencyRecord
from minform_cli.tasks import TASKS
from minform_cli.training.evaluate import score
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.measures import with_measures
from minform_cli.training.team import Team
from minform_cli.training.translation import translations_of

COSINE = "cosine"
"""How the metric is called that needs no labels."""

ROUNDS = 15
"""Pairs of forward passes that a time is the median of, or fewer once `MOST_S` seconds have gone by."""

MOST_S = 4.0

LEAST_ROUNDS = 3

BATCHES = (1, 32)
"""Batch sizes that are timed."""


def metric_of(examples: Examples) -> str:
    """The name of what is measured on these examples."""
    if not examples.labelled:
        return COSINE
    return TASKS.get(examples.config.task).measures(examples.data.spec)[0]


def measured(model: nn.Module, examples: Examples, stop: StopRequest) -> tuple[float, int]:
    """The task's metric of `model` on the validation part of labelled examples, and how many labels that is.

    Args:
        model: left in evaluation mode.
        examples: labelled ones.
        stop: asked before every batch.
    """
    config = batched(examples, min(examples.config.train.eval_batch_size, 256))
    config, _ = with_measures(config, examples.data)
    batches = make_batches(examples.data, config, torch.device("cpu"))
    translations = translations_of(config, examples.data, "val", None)
    scores = score(
        model, TASKS.get(config.task), examples.data.spec, batches.evaluation("val"), Team(stop), translations
    )
    return scores.measured[metric_of(examples)], len(scores.labels)


@torch.no_grad()
def outputs_of(model: nn.Module, batches: Sequence[Inputs], stop: StopRequest | None = None) -> Tensor:
    """What `model` gives for all of them, one row an example or token, float64; without tokens that only fill up."""
    model.eval()
    found: list[Tensor] = []
    for inputs in batches:
        if stop is not None:
            stop.check()
        found.append(real_rows(model(*inputs), inputs).double())
    return torch.cat(found)


def real_rows(outputs: Tensor, inputs: Inputs) -> Tensor:
    """`outputs` as rows, without those of tokens that only fill up the batch, where there is one for every token."""
    rows = outputs.flatten(0, -2)
    if len(inputs) > 3 and inputs[3] is not None:
        return rows
    real = inputs[2] if len(inputs) > 2 else None
    if real is None or real.shape[1] == 1 or len(rows) != real.numel():
        return rows
    return rows[real.flatten()]


def cosine(outputs: Tensor, wanted: Tensor) -> float:
    """Mean cosine of the rows of two outputs."""
    return float(F.cosine_similarity(outputs, wanted, dim=-1).mean())


def difference(outputs: Tensor, wanted: Tensor) -> float:
    """The largest difference of two outputs over the largest number of the second."""
    return float((outputs - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


def latency(
    original: nn.Module, reduced: nn.Module, batches: Sequence[Inputs], stop: StopRequest
) -> list[LatencyRecord]:
    """Times of both on the first examples of `batches`, at each of `BATCHES` that there are examples for."""
    found: list[LatencyRecord] = []
    for size in BATCHES:
        inputs = _first(batches, size)
        if inputs is not None:
            found.append(_timed(original.eval(), reduced.eval(), inputs, stop))
    return found


def _timed(original: nn.Module, reduced: nn.Module, inputs: Inputs, stop: StopRequest) -> LatencyRecord:
    pairs: list[tuple[float, float]] = []
    with torch.inference_mode():
        for model in (original, reduced):  # the first pass plans and allocates
            model(*inputs)
        began = time.perf_counter()
        while len(pairs) < ROUNDS and (len(pairs) < LEAST_ROUNDS or time.perf_counter() - began < MOST_S):
            stop.check()
            one, other = (_seconds(model, inputs) for model in (original, reduced))
            pairs.append((one, other))
    ratios = sorted(one / other for one, other in pairs)
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    first = cast(Tensor, inputs[0])
    return LatencyRecord(
        batch=len(first),
        tokens=None if first.is_floating_point() else first.shape[1],
        rounds=len(pairs),
        original_s=statistics.median(one for one, _ in pairs),
        reduced_s=statistics.median(other for _, other in pairs),
        ratio=statistics.median(ratios),
        ratio_low=low,
        ratio_high=high,
    )


def _seconds(model: nn.Module, inputs: Inputs) -> float:
    start = time.perf_counter()
    model(*inputs)
    return time.perf_counter() - start


def _first(batches: Sequence[Inputs], size: int) -> Inputs | None:
    """`size` examples from the middle of the batches, whose length is usual; None where no batch has as many."""
    fitting = [inputs for inputs in batches if len(cast(Tensor, inputs[0])) >= size]
    if not fitting:
        return None
    inputs = fitting[len(fitting) // 2]
    rows = len(cast(Tensor, inputs[0]))
    # Places of tokens to be predicted are of the whole batch: of a part of it, all are predicted.
    return tuple(
        each[:size] if each is not None and _by_example(each, rows, place) else None
        for place, each in enumerate(inputs)
    )


def _by_example(each: Tensor, rows: int, place: int) -> bool:
    return place < 3 and len(each) == rows
