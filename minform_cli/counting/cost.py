"""Multiply-accumulates (MACs), forward and in a training step, and the key/value cache. 1 MAC = 2 FLOPs.

Counted: every matrix product (patch embedding, projections, scores, mixing, MLP, pooler, output), and of a training
step those of the backward pass. Causal attention counts in full, since fast kernels differ in what they skip. The head
of a task is left out where counts leave it out. Not counted: softmax, normalisation, activations, additions of biases
and skips, the optimiser; their share shrinks with the width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from minform_cli.config.form import AttentionForm, Form, Map, Over, Weights
from minform_cli.config.schema import RunConfig
from minform_cli.counting.form import ModelForm, Stack, counted_form, tokens_per_step
from minform_cli.data.spec import DataSpec

Calls = dict[Over, tuple[int, ...]]
"""What goes through a map -> how many vectors at once, call after call."""


def forward_macs(config: RunConfig, spec: DataSpec, examples: int = 1) -> int:
    """Multiply-accumulates of a batch's forward pass; shared blocks cost every time they run.

    Args:
        config: the model and its task; and a training step's size, which the order of tensor chains is chosen for.
        spec: examples are as long as its longest; source and target of a pair both are.
        examples: of the batch. All costs are in proportion to them but for chains that are made a matrix once a batch.
    """
    return _macs(config, spec, examples)[0]


def training_macs(config: RunConfig, spec: DataSpec, examples: int = 1) -> int:
    """Multiply-accumulates of a training step on a batch; arguments as of `forward_macs`.

    The backward pass of a product is two products of its size, one for each factor's gradient. Only the examples
    themselves need no gradient, which saves the second one of what reads them.
    """
    forward, reading = _macs(config, spec, examples)
    return 3 * forward - reading


def per_example(macs: Callable[[RunConfig, DataSpec, int], int], config: RunConfig, spec: DataSpec) -> int:
    """An example's part of what `macs` says of a training step's batch, rounded up."""
    tokens = counted_form(config.model, spec, config.task).embedding.tokens
    examples = max(1, tokens_per_step(config, spec) // tokens)
    return -(-macs(config, spec, examples) // examples)


def cached_numbers(form: ModelForm) -> int | None:
    """Numbers that generation keeps of every token so as not to compute its keys and values again.

    Of a decoder's attention to itself; its attention to the encoder keeps as much of every source token, once. What
    serves as key and value, or in all heads, is kept once. None for a model that does not generate.
    """
    stack = form.decoder or (form.encoder if form.causal else None)
    if stack is None:
        return None
    return sum(block.attention.kept for block in stack.runs if block.attention is not None)


def _macs(config: RunConfig, spec: DataSpec, examples: int) -> tuple[int, int]:
    """Of a batch's forward pass, and those of them that the examples themselves go through."""
    form = counted_form(config.model, spec, config.task)
    planned_for, tokens = tokens_per_step(config, spec), form.embedding.tokens
    pair = examples * tokens**2
    along = _calls(examples, tokens, across=False)
    total = reading = 0
    for each, calls in _passes(form, along, _calls(examples, tokens, across=True)):
        if isinstance(each, AttentionForm):
            total += pair * each.pair_macs
            continue
        macs = sum(each.macs_for(each.often * number, planned_for) for number in calls[each.over])
        total += macs
        reading += macs if each.reads_data else 0
    return total, reading


def _calls(examples: int, tokens: int, *, across: bool) -> Calls:
    """Where one sequence attends to another (`across`), one map for both sides is called for each."""
    once = (examples * tokens,)
    return {"tokens": once, "queries": once, "keys": once, "both": once * 2 if across else once, "example": (examples,)}


def _passes(form: ModelForm, along: Calls, across: Calls) -> Iterator[tuple[AttentionForm | Map | Weights, Calls]]:
    """Everything that costs, once for every time it runs, and what goes through it then."""
    stacks = {stack.path: stack for stack in (form.encoder, form.decoder) if stack is not None}
    for name, child in form.children.items():
        if name in stacks:
            yield from _stack_passes(stacks[name], along, across)
        else:
            yield from ((each, along) for _, part in child.walk() for each in part.holds)


def _stack_passes(stack: Stack, along: Calls, across: Calls) -> Iterator[tuple[AttentionForm | Map | Weights, Calls]]:
    for block in stack.runs:
        for name, child in block.children.items():
            for part in _parts(child):
                if isinstance(part, AttentionForm):
                    yield part, along
                yield from ((each, across if name == "cross" else along) for each in part.holds)


def _parts(form: Form) -> Iterator[Form]:
    return (part for _, part in form.walk())
