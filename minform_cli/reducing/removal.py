"""Which sublayers or blocks an encoder does without best: one after another, each the one that then costs least.

After every removal all that are left are measured anew, each with what went before away: the squared difference of what
the model gives, over its spread, more than before, a number that goes. The last attention stays.
Where a norm follows each sublayer, that of attention takes the place of the MLP's: its gain and bias are fitted to what
the original gives behind the MLP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.norm import AnyNorm, affine_of
from minform_cli.reducing.calibration import Inputs
from minform_cli.reducing.sensitivity import EVERY, distance, given
from minform_cli.reducing.walk import Walk

Kind = Literal["attention", "mlp"]
Gone = frozenset[tuple[int, Kind]]
"""Sublayers that are away, each by the number of its block."""


class Away(NamedTuple):
    """What the model loses where nothing but `gone` is away, and the numbers that go with it."""

    gone: Gone
    loss: float
    numbers: int


NOTHING = Away(frozenset(), 0.0, 0)


@torch.no_grad()
def removals(
    original: nn.Module, model: ModelConfig, batches: Sequence[Inputs], *, sublayers: bool, whole: bool
) -> Iterator[Away]:
    """Ever more of it away, until one attention (or block) is left.

    Args:
        original: an encoder of standard parts, in evaluation mode; left as it is.
        model: its config.
        batches: of calibration, of which a part is measured on.
        sublayers: whether one may go alone.
        whole: whether a block may go, both of its sublayers at once.
    """
    stack = cast(Any, original)
    walk = Walk(stack, model, [tuple(None if each is None else each[::EVERY] for each in inputs) for inputs in batches])
    targets = _states(stack.blocks, walk)
    wanted = given(stack, walk, stack.blocks)
    blocks, gone, loss, numbers = list(stack.blocks), NOTHING.gone, 0.0, 0
    while True:
        states = _states(blocks, walk)
        best: tuple[float, float, Gone, Any, int] | None = None
        for step in _steps(len(blocks), gone, sublayers=sublayers, whole=whole):
            number = next(iter(step))[0]
            left = gone | step
            made = without(stack.blocks[number], _kinds(left, number))
            if made is not None and made.mlp is None:
                after = _run(made, walk, states[number])
                refit(made.attention_norm, block=made, real=walk.real, given=after, wanted=targets[number + 1])
            walk.original = states[number]
            behind = [each for each in blocks[number + 1 :] if each is not None]
            found = distance(wanted, given(stack, walk, [made, *behind] if made is not None else behind))
            went = sum(_numbers(stack.blocks[number], kind) for _, kind in step)
            price = (found - loss) / went
            if best is None or price < best[0]:
                best = price, found, left, made, went
            walk.original = states[0]
        if best is None:
            return
        _, loss, left, made, went = best
        (number,) = {number for number, _ in left - gone}
        blocks[number], gone, numbers = made, left, numbers + went
        yield Away(gone, loss, numbers)


def without(block: Any, kinds: Sequence[Kind]) -> Any:
    """A copy of the block without these sublayers and their norms; None where nothing of it is left."""
    if len(kinds) == len(_KINDS):
        return None
    made = deepcopy(block)
    for kind in kinds:
        setattr(made, kind, None)
        setattr(made, f"{kind}_norm", None)
    return made


def refit(
    norm: AnyNorm | None, *, block: Any, real: Sequence[Tensor], given: Sequence[Tensor], wanted: Sequence[Tensor]
) -> list[Tensor]:
    """Makes gain and bias of a norm behind a sublayer those with which it gives nearly `wanted`; other norms stay.

    Args:
        norm: it.
        block: it is of.
        real: which tokens count, a (B, T) a batch.
        given: what it gives now, a (B, T, N) a batch.
        wanted: instead.

    Returns:
        What it gives then.
    """
    if norm is None or norm.weight is None or block.norm_first:
        return list(given)
    rows, others = (
        torch.cat([each[own] for each, own in zip(parts, real, strict=True)]).double() for parts in (given, wanted)
    )
    far, mean = rows - rows.mean(0), others.mean(0)
    slope = (far * (others - mean)).sum(0) / far.square().sum(0).clamp_min(1e-300)
    gain, bias = affine_of(norm)
    norm.weight.copy_(gain * slope)
    shift = mean - rows.mean(0) * slope
    cast(Tensor, norm.bias).copy_(bias * slope + shift)
    return [each * slope.to(each) + shift.to(each) for each in given]


_KINDS: tuple[Kind, ...] = ("attention", "mlp")


def _kinds(gone: Gone, number: int) -> list[Kind]:
    return [kind for kind in _KINDS if (number, kind) in gone]


def _steps(num: int, gone: Gone, *, sublayers: bool, whole: bool) -> list[Gone]:
    """What may go next."""
    left: list[Gone] = [
        frozenset((number, kind) for kind in _KINDS if (number, kind) not in gone) for number in range(num)
    ]
    steps: list[Gone] = [frozenset([one]) for each in left for one in sorted(each)] if sublayers else []
    if whole:
        steps += [each for each in left if len(each) > 1 or (each and not sublayers)]
    attend = {one for each in left for one in each if one[1] == "attention"}
    return [step for step in steps if not attend <= step]


def _numbers(block: Any, kind: Kind) -> int:
    parts = (getattr(block, kind), getattr(block, f"{kind}_norm"))
    return sum(parameter.numel() for part in parts if part is not None for parameter in part.parameters())


def _run(block: Any, walk: Walk, states: Sequence[Tensor]) -> list[Tensor]:
    return [block(x, walk.seen(at)) for at, x in enumerate(states)]


def _states(blocks: Sequence[Any], walk: Walk) -> list[list[Tensor]]:
    """The tokens before each block and behind the last; blocks that are away leave them as they are."""
    found = [walk.original]
    for block in blocks:
        found.append(found[-1] if block is None else _run(block, walk, found[-1]))
    return found
