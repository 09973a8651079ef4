"""Multiply-accumulates (MACs), forward and in a training step, and the key/value cache. 1 MAC = 2 FLOPs.

Counted: every matrix product (patch embedding, projections, scores, mixing, MLP, pooler, output), and of a training
step those of the backward pass. Causal attention counts in full, since fast kernels differ in what they skip. The head
of a task is left out where counts leave it out. Not counted: softmax, normalisation, activations, additions of biases
and skips, the optimiser; their share shrinks with the width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from minform_cli.config.form import AttentionForm, Form, Over
from minform_cli.config.schema import RunConfig
from minform_cli.counting.form import ModelForm, counted_form, tokens_per_step
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
    return _macs(counted_form(config.model, spec, config.task), tokens_per_step(config, spec), examples)[0]


def training_macs(config: RunConfig, spec: DataSpec, examples: int = 1) -> int:
    """Multiply-accumulates of a training step on a batch; arguments as of `forward_macs`.

    The backward pass of a product is two products of its size, one for each factor's gradient. Only the examples
    themselves need no gradient, which saves the second one of what reads them.
    """
    return _macs(counted_form(config.model, spec, config.task), tokens_per_step(config, spec), examples)[1]


def macs_per_example(form: ModelForm, planned_for: int) -> tuple[int, int]:
    """An example's part of what a training step's batch costs, rounded up: forward, and of the step.

    Args:
        form: the model's.
        planned_for: about how many tokens the batch has.
    """
    examples = max(1, planned_for // form.embedding.tokens)
    forward, training = _macs(form, planned_for, examples)
    return -(-forward // examples), -(-training // examples)


def cached_numbers(form: ModelForm) -> int | None:
    """Numbers that generation keeps of every token so as not to compute its keys and values again.

    Of a decoder's attention to itself; its attention to the encoder keeps as much of every source token, once for a
    block, however often it runs. What serves as key and value, or in all heads, is kept once. None for a model that
    does not generate.
    """
    stack = form.decoder or (form.encoder if form.causal else None)
    if stack is None:
        return None
    return sum(block.attention.kept for block in stack.runs if block.attention is not None)


def _macs(form: ModelForm, planned_for: int, examples: int) -> tuple[int, int]:
    """Of a batch's forward pass, and of a training step on it."""
    tokens = form.embedding.tokens
    along, across = (_calls(examples, tokens, across=across) for across in (False, True))
    total = reading = 0
    for part, times, calls in _passes(form, along, across):
        if isinstance(part, AttentionForm):
            total += times * examples * tokens**2 * part.pair_macs
        for each in part.holds:
            macs = times * sum(each.macs_for(each.often * number, planned_for) for number in calls[each.over])
            total += macs
            reading += macs if each.reads_data else 0
    return total, 3 * total - reading


def _calls(examples: int, tokens: int, *, across: bool) -> Calls:
    """Where one sequence attends to another (`across`), one map for both sides is called for each."""
    once = (examples * tokens,)
    return {"tokens": once, "queries": once, "keys": once, "both": once * 2 if across else once, "example": (examples,)}


def _passes(form: ModelForm, along: Calls, across: Calls) -> Iterator[tuple[Form, int, Calls]]:
    """Every part, how many times it runs, and what goes through it then."""
    stacks = {stack.path: stack for stack in (form.encoder, form.decoder) if stack is not None}
    for name, child in form.children.items():
        if name not in stacks:
            yield from ((part, 1, along) for _, part in child.walk())
            continue
        runs = stacks[name].runs
        times = Counter(map(id, runs))
        for block in {id(block): block for block in runs}.values():
            for sublayer, inner in block.children.items():
                calls = across if sublayer == "cross" else along
                yield from ((part, times[id(block)], calls) for _, part in inner.walk())
