"""Batches, whatever they are of: what one step takes, and what the trainer asks of whoever makes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError

T = TypeVar("T")

Split = Literal["train", "val", "test"]


def there(examples: T | None, spec: DataSpec) -> T:
    """The `examples` of a split; `InputError` where the data set has none such."""
    if examples is None:
        raise InputError(f"{spec.title} has no test split beside its validation split")
    return examples


class Second(NamedTuple):
    """Labels of what is mixed into every example of a batch (P,), and the weight that its own label keeps."""

    labels: Tensor
    weight: float


class Batch(NamedTuple):
    """What one step takes, on the device.

    Attributes:
        inputs: what the model's `forward` takes, in its order; the last ones may be left out.
        labels: what the task's loss takes: a class, a number or a token for each example or token predicted, (P,).
        elsewhere: how many labels of the same batch other processes take.
        examples: of the whole batch; None where there is a label for each.
        numbers: places in their split of the examples in `inputs`, on the CPU; None where nobody asks.
        second: of examples that others are mixed into; None: none are.
        owners: place in its split of the example that each label belongs to (P,), on the CPU; None while training.
    """

    inputs: tuple[Tensor | None, ...]
    labels: Tensor
    elsewhere: int = 0
    examples: int | None = None
    numbers: Tensor | None = None
    second: Second | None = None
    owners: Tensor | None = None

    @property
    def size(self) -> int:
        """Labels of the whole batch: what its mean loss is a mean over."""
        return len(self.labels) + self.elsewhere

    @property
    def num_examples(self) -> int:
        """Examples of the whole batch."""
        return self.size if self.examples is None else self.examples


class Batches(Protocol):
    """The batches of one run.

    Each is a pure function of (seed, epoch, position), so that a resumed run repeats and misses none.
    """

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch; the last may be smaller than the others."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Training batches `start`, `start` + 1, ... of the 0-based `epoch`, shuffled.

        Raises:
            InputError: a file that is read on the way is missing or damaged.
            MachineError: the examples do not fit on the device.
        """
        ...

    def evaluation(self, split: Split) -> Iterator[Batch]:
        """Batches of `train.eval_batch_size` examples of `split`, in its own order; no empty parts.

        Raises:
            InputError: there is no such split, or as `epoch`.
            MachineError: as `epoch`.
        """
        ...


class Share(NamedTuple):
    """Which part of every batch is wanted: the `number`-th, from 0, of `parts` that are as equal as can be."""

    number: int = 0
    parts: int = 1

    def of(self, chunk: Tensor) -> slice:
        """Where the part lies in `chunk`; it is empty in some parts of a chunk that is shorter than `parts`."""
        num = len(chunk)
        return slice(num * self.number // self.parts, num * (self.number + 1) // self.parts)


WHOLE = Share()


def generator(*key: int) -> torch.Generator:
    """A CPU generator whose stream depends on the numbers in `key` and on nothing else."""
    digest = hashlib.sha256(" ".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
