"""What an encoder loses where one part of one block is smaller: measured at some sizes, and drawn through all of them.

At every size there is an error of the part's own: squares of the singular values that go (ranks), what least squares
cannot make up for (hidden units). What the model loses by it is measured at a few sizes, with that part alone smaller
and everything behind it run again: the squared difference of what the model gives, over its spread. In between, the
logarithm of the loss is linear in that of the error; outside, the loss is proportional to the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import split_heads
from minform_cli.models.parts.linear import read_map, write_map
from minform_cli.models.parts.readout import TokenReadout
from minform_cli.reducing.asked import Part
from minform_cli.reducing.calibration import Inputs
from minform_cli.reducing.least_squares import Gathered, damped, elimination
from minform_cli.reducing.sizes import Losses
from minform_cli.reducing.turns import ScoreMoments, value_bases
from minform_cli.reducing.walk import Walk, after, read_by, weights_of_tokens

MEASURED = (0.75, 0.5, 0.25)
"""Shares of a part's size that the loss is measured at."""

EVERY = 3
"""Of so many calibration examples, one is measured on."""

DAMPING_MLP = 3e-2
"""lam over the mean diagonal."""


@torch.no_grad()
def losses(original: nn.Module, model: ModelConfig, batches: Sequence[Inputs], parts: Sequence[Part]) -> Losses:
    """What is lost at each size of those parts of each block.

    Args:
        original: an encoder of standard parts, in evaluation mode; left as it is.
        model: its config.
        batches: of calibration.
        parts: kinds of them.
    """
    stack = cast(Any, original)
    walk = Walk(stack, model, batches)
    fewer = [tuple(None if each is None else each[::EVERY] for each in inputs) for inputs in batches]
    tried = Walk(stack, model, fewer)
    wanted = given(stack, tried, stack.blocks)
    found: dict[tuple[int, Part], tuple[tuple[int, ...], tuple[float, ...]]] = {}
    for number, block in enumerate(stack.blocks):
        rest = stack.blocks[number + 1 :]

        def lost(changed: Any, rest: Any = rest) -> float:
            return distance(wanted, given(stack, tried, [changed, *rest]))

        if "query-key" in parts:
            found[number, "query-key"] = _scores(block, walk, lost)
        targets = _attended(block, walk)
        if "value-output" in parts:
            found[number, "value-output"] = _values(block, walk, targets, lost)
        walk.original = [after(block.attention_norm, block, each) for each in targets]
        if "mlp" in parts:
            found[number, "mlp"] = _hidden(block, walk, lost)
        walk.original = [
            after(block.mlp_norm, block, x + block.mlp(read_by(block.mlp_norm, block, x))) for x in walk.original
        ]
        tried.original = [block(x, tried.seen(at)) for at, x in enumerate(tried.original)]
    return found


_Curve = tuple[tuple[int, ...], tuple[float, ...]]


def _attended(block: Any, walk: Walk) -> list[Tensor]:
    """The original's tokens once attention is added to them."""
    return [
        x + block.attention(read_by(block.attention_norm, block, x), None, walk.seen(at))
        for at, x in enumerate(walk.original)
    ]


def given(stack: Any, walk: Walk, blocks: Any) -> Tensor:
    """What the model gives if `blocks` come after the depth of `walk`: one row an example, or one a token."""
    rows: list[Tensor] = []
    for at, start in enumerate(walk.original):
        x = start
        for block in blocks:
            x = block(x, walk.seen(at))
        x = x if stack.final_norm is None else stack.final_norm(x)
        if isinstance(stack.readout, TokenReadout):
            rows.append(x[walk.real[at]])
        else:
            rows.append(stack.readout(x, None if bool(walk.real[at].all()) else walk.real[at]))
    return torch.cat(rows).double()


def distance(wanted: Tensor, found: Tensor) -> float:
    """Squared difference over the spread of what is wanted."""
    spread = (wanted - wanted.mean(0)).square().sum()
    return float((found - wanted).square().sum() / spread.clamp_min(1e-300))


def _tails(sizes: Tensor) -> dict[int, float]:
    """Rank -> squares of the singular values (H, d) that go with it, of all heads."""
    squares = sizes.square().sum(0)
    return {rank: float(squares[rank:].sum()) for rank in range(1, len(squares) + 1)}


def _curve(errors: Mapping[int, float], changed: Callable[[int], Any], lost: Callable[[Any], float]) -> _Curve:
    """Sizes and losses, by what is measured at some of them.

    Args:
        errors: size -> error of the part itself.
        changed: the block with the part so small.
        lost: by such a block.
    """
    sizes = sorted(errors)
    most = sizes[-1]
    tried = dict.fromkeys(min(sizes, key=lambda size, share=share: abs(size - share * most)) for share in MEASURED)
    least = 1e-12 * max(errors.values()) + 1e-300
    known: list[tuple[float, float]] = sorted(
        (math.log(max(errors[size], least)), math.log(max(lost(changed(size)), 1e-12))) for size in tried if size < most
    )
    found = [0.0 if errors[size] <= least else math.exp(_through(known, math.log(errors[size]))) for size in sizes]
    for at in reversed(range(len(found) - 1)):  # what is smaller loses no less
        found[at] = max(found[at], found[at + 1])
    return tuple(sizes), tuple(found)


def _through(known: Sequence[tuple[float, float]], x: float) -> float:
    """On the broken line through the points; of slope one outside."""
    if not known:
        return x
    if x <= known[0][0] or len(known) == 1:
        return known[0][1] + x - known[0][0]
    for (left, low), (right, high) in pairwise(known):
        if x <= right:
            return low + (high - low) * (x - left) / max(right - left, 1e-12)
    return known[-1][1] + x - known[-1][0]


def _scores(block: Any, walk: Walk, lost: Callable[[Any], float]) -> _Curve:
    """Of the queries and keys."""
    scores = ScoreMoments(block, walk, walk.original)
    width = scores.sizes.shape[1]

    def ranked(rank: int) -> Any:
        made = deepcopy(block)
        queries, biases, keys = scores.maps(rank)
        bias = _wide([each.unsqueeze(0) for each in biases], width)[0]
        write_map(made.attention.similarity.w_q, _wide(queries, width), bias)
        write_map(made.attention.similarity.w_k, _wide(keys, width))
        return made

    return _curve(_tails(scores.sizes), ranked, lost)


def _wide(heads: Sequence[Tensor], width: int) -> Tensor:
    return torch.cat([nn.functional.pad(each, (0, width - each.shape[1])) for each in heads], dim=1)


def _values(block: Any, walk: Walk, targets: Sequence[Tensor], lost: Callable[[Any], float]) -> _Curve:
    """Of the values and outputs."""
    values, output = block.attention.value.maps(None)
    gathered, weight = Gathered(centred=False), values.weight.float()
    for at, (x, target) in enumerate(zip(walk.original, targets, strict=True)):
        read, real = read_by(block.attention_norm, block, x), walk.real[at]
        queries, keys = block.attention.similarity(read, read)
        rows = walk.mixed(queries, keys, split_heads(read @ weight, walk.heads), at)[real]
        gathered.add(rows, (target - x)[real], weights_of_tokens(block, target[real]))
    bases = value_bases(gathered.equations().inputs, output.weight, walk.heads)
    width = len(output.weight) // walk.heads
    shift = values.bias @ output.weight + output.bias

    def ranked(rank: int) -> Any:
        made = deepcopy(block)
        turns = [nn.functional.pad(turn[:, :rank], (0, width - rank)) for turn, _, _ in bases]
        rows = [nn.functional.pad(right[:rank], (0, 0, 0, width - rank)) for _, _, right in bases]
        by_head = values.weight.split(width, dim=1)
        write_map(made.attention.value.w_v, torch.cat([w @ t for w, t in zip(by_head, turns, strict=True)], dim=1))
        write_map(made.attention.value.w_o, torch.cat(rows), shift)
        return made

    return _curve(_tails(torch.stack([sizes for _, sizes, _ in bases])), ranked, lost)


def _hidden(block: Any, walk: Walk, lost: Callable[[Any], float]) -> _Curve:
    """Of the hidden units."""
    mlp, activation = block.mlp, type(block.mlp).activation
    gathered = Gathered(centred=mlp.w_2.bias is not None)
    for x, real in zip(walk.original, walk.real, strict=True):
        read = read_by(block.mlp_norm, block, x)
        given = mlp(read)
        rows = activation(mlp.w_1(read[real]))
        gathered.add(rows, given[real], weights_of_tokens(block, (x + given)[real]))
    equations, (weight, bias) = gathered.equations(), read_map(mlp.w_2)
    steps = elimination(damped(equations.inputs, DAMPING_MLP), equations.fit(weight, DAMPING_MLP), 1)
    errors = {len(kept): error for kept, error in steps}
    left = {len(kept): kept for kept, _ in steps}

    def narrowed(size: int) -> Any:
        made, kept = deepcopy(block), left[size]
        own = equations.of(kept)
        fitted = own.fit(weight[kept], DAMPING_MLP)
        whole = torch.zeros_like(weight)
        whole[kept] = fitted
        write_map(made.mlp.w_2, whole, own.bias(fitted) if gathered.centred else bias)
        return made

    return _curve(errors, narrowed, lost)
