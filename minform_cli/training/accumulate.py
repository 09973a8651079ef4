"""A batch in parts that go through the model one after another: the gradients of the whole, the memory of a part.

A part is to its batch what a process's share is: it knows how many labels lie elsewhere, so that its mean loss weighs
as much as it has labels. The sum over the parts is the whole batch's mean but for the order of additions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch


def parts_of(batch: Batch, number: int | None) -> list[Batch]:
    """`batch` in `number` consecutive parts, as equal in examples as can be, one at least each.

    Fewer where there are fewer examples, or where none of a part's tokens is predicted.
    """
    num_examples = _length(batch)
    if number is None or number == 1 or not len(batch.labels):
        return [batch]
    number = min(number, num_examples)
    ends = [num_examples * part // number for part in range(number + 1)]
    parts = [_part(batch, first, end) for first, end in pairwise(ends)]
    return [part for part in parts if len(part.labels)]


def _part(batch: Batch, first: int, end: int) -> Batch:
    """The examples from `first` to before `end`."""
    num_examples = _length(batch)
    inputs = [None if each is None else each[first:end] for each in batch.inputs[:3]]
    places = batch.inputs[3] if len(batch.inputs) > 3 else None
    if places is None:
        each = len(batch.labels) // num_examples  # one label an example, or one a token
        labels = batch.labels[first * each : end * each]
    else:
        width = _width(batch)
        mine = (places >= first * width) & (places < end * width)
        labels = batch.labels[mine]
        inputs.append(places[mine] - first * width)
    return batch._replace(
        inputs=tuple(inputs),
        labels=labels,
        elsewhere=batch.size - len(labels),
        examples=batch.num_examples,
        numbers=None if batch.numbers is None else batch.numbers[first:end],
        second=batch.second and batch.second._replace(labels=batch.second.labels[first:end]),
    )


def _length(batch: Batch) -> int:
    first = batch.inputs[0]
    assert first is not None, "the first input is never left out"
    return len(first)


def _width(batch: Batch) -> int:
    """Tokens of each example among which places are counted: of the second input where there is one."""
    tokens = next(x for x in (batch.inputs[1], batch.inputs[0]) if isinstance(x, Tensor))
    return tokens.shape[1]
