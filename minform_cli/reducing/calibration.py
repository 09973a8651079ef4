"""A seeded sample of training examples as batches of a model's inputs, and the digest that says which they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minform_cli.config.schema import RunConfig
from minform_cli.data.batch import generator
from minform_cli.data.batches import make_batches
from minform_cli.data.sample import num_train, sample_digest, sampled
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec
from minform_cli.errors import InputError, counted
from minform_cli.reducing.examples import Examples

Inputs = tuple[Tensor | None, ...]
"""What a model's ``forward`` takes for one batch."""

DEFAULT_EXAMPLES = 384

BATCH_SIZE = 64
"""Examples of a batch: enough to keep the cores busy, few enough that what a batch keeps is small."""

LONGEST_RANDOM = 64
"""Tokens of a random example."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A sample.

    Attributes:
        batches: the model's inputs.
        number: examples in them.
        seed: of the choice.
        sha256: of their pixels or tokens.
        title: of what they were chosen from.
    """

    batches: tuple[Inputs, ...]
    number: int
    seed: int
    sha256: str
    title: str


def calibration(examples: Examples, number: int | None, seed: int) -> Calibration:
    """So many training examples of `examples`; never validation or test examples.

    Args:
        examples: what they are chosen from.
        number: how many; None: `DEFAULT_EXAMPLES`, or all where there are fewer.
        seed: of the choice.

    Raises:
        InputError: there are fewer.
    """
    there = num_train(examples.data)
    if number is None:
        number = min(DEFAULT_EXAMPLES, there)
    if number > there:
        raise InputError(
            f"--examples {number}: {examples.title} has {counted(there, 'training example')}; accepted: 1 to {there}"
        )
    data = sampled(examples.data, number, seed)
    batches = make_batches(data, batched(examples), torch.device("cpu"))
    return Calibration(
        batches=tuple(batch.inputs for batch in batches.evaluation("train")),
        number=number,
        seed=seed,
        sha256=sample_digest(data),
        title=examples.title,
    )


def held_out(examples: Examples, most: int = 1_000) -> tuple[Inputs, ...]:
    """Validation inputs of `examples`, of about `most` of them."""
    found: list[Inputs] = []
    num = 0
    for batch in make_batches(examples.data, batched(examples), torch.device("cpu")).evaluation("val"):
        found.append(batch.inputs)
        num += batch.num_examples
        if num >= most:
            break
    return tuple(found)


def batched(examples: Examples, size: int = BATCH_SIZE) -> RunConfig:
    """The config of `examples` with evaluation batches of `size`."""
    train = examples.config.train.model_copy(update={"eval_batch_size": size})
    return examples.config.model_copy(update={"train": train})


def random_inputs(config: RunConfig, spec: DataSpec, number: int = BATCH_SIZE) -> tuple[Inputs, ...]:
    """One batch of random inputs, as long as the longest example or shorter: for times and rounding, without data."""
    chance = generator(0)
    if isinstance(spec, ImageSpec):
        return ((torch.randn(number, spec.channels, spec.height, spec.width, generator=chance),),)
    assert isinstance(spec, TextSpec), "examples are images or text"
    shape = (number, min(spec.seq_len, LONGEST_RANDOM))
    tokens = torch.randint(spec.vocab_size, shape, generator=chance)
    if config.model.decoder_depth:
        return ((tokens, torch.randint(spec.vocab_size, shape, generator=chance), None, None),)
    return ((tokens, None, None),)
