"""Two models block by block: the numbers of each by group, and how far apart what they give is."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from minform_cli.models.parts.norm import RmsNorm
from minform_cli.models.stack import EncoderDecoder
from minform_cli.models.verify import count_groups
from minform_cli.reducing.calibration import Inputs
from minform_cli.results import ReducedLayerRecord


def layer_records(original: nn.Module, reduced: nn.Module, batches: Sequence[Inputs]) -> list[ReducedLayerRecord]:
    """One a depth at which a block runs, the encoder's first; empty where the two are not equally deep.

    Args:
        original, reduced: on the CPU; left in evaluation mode.
        batches: that what blocks give is compared on.
    """
    stacks = list(zip(_stacks(original), _stacks(reduced), strict=True))
    if any(len(ours) != len(theirs) for (_, ours), (_, theirs) in stacks):
        return []
    errors = _output_errors(original, reduced, batches)
    records: list[ReducedLayerRecord] = []
    for (name, before), (_, after) in stacks:
        numbers = zip(_numbers(before), _numbers(after), strict=True)
        for depth, (own, left) in enumerate(numbers, 1):
            output = errors[len(records)] if errors else None
            records.append(
                ReducedLayerRecord(layer=depth, stack=name, before=own, after=left, errors={"output": output})
            )
    return records


def _stacks(model: nn.Module) -> list[tuple[str, list[nn.Module]]]:
    """The blocks of each stack in the order in which they run, shared ones each time."""
    stack = cast(Any, model)
    found = [("encoder", [cast(nn.Module, stack.blocks[block]) for block in stack.order])]
    if isinstance(model, EncoderDecoder):
        found.append(("decoder", [model.decoder_blocks[block] for block in model.decoder_order]))
    return found


def _numbers(blocks: Sequence[nn.Module]) -> list[dict[str, int]]:
    """By group; those of a block that runs again are counted where it runs first."""
    seen: set[int] = set()
    found: list[dict[str, int]] = []
    for block in blocks:
        groups = count_groups(block)
        own = {group: groups[group] for group in ("query_key", "value_output", "mlp", "norm")}
        found.append(dict.fromkeys(own, 0) if id(block) in seen else own)
        seen.add(id(block))
    return found


@torch.no_grad()
def _output_errors(original: nn.Module, reduced: nn.Module, batches: Sequence[Inputs]) -> list[float]:
    """Of each block's output, squares of the difference over squares of the original's, over all real tokens.

    Where the reduced model's tokens have a mean of zero, which no norm reads, the original's are compared without it.
    """
    centred = any(isinstance(part, RmsNorm) for part in reduced.modules())
    apart: list[float] = []
    whole: list[float] = []
    original.eval()
    reduced.eval()
    with _given(original) as theirs, _given(reduced) as ours:
        for inputs in batches:
            theirs.clear()
            ours.clear()
            original(*inputs)
            reduced(*inputs)
            if not apart:
                apart, whole = [0.0] * len(theirs), [0.0] * len(theirs)
            for place, (wanted, found) in enumerate(zip(theirs, ours, strict=True)):
                seen = _real(inputs, wanted)
                wanted, found = wanted[seen].double(), found[seen].double()
                if centred:
                    wanted = wanted - wanted.mean(-1, keepdim=True)
                apart[place] += float((found - wanted).square().sum())
                whole[place] += float(wanted.square().sum())
    return [far / max(size, 1e-300) for far, size in zip(apart, whole, strict=True)]


def _real(inputs: Inputs, states: Tensor) -> Tensor:
    """Which tokens of (B, T, N) do not only fill up, (B, T)."""
    real = inputs[2] if len(inputs) > 2 else None
    if real is not None and real.shape == states.shape[:2]:
        return real
    return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)


@contextmanager
def _given(model: nn.Module) -> Generator[list[Tensor]]:
    """A list that takes what each block gives, in the order they run."""
    states: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        states.append(output)

    blocks = {id(block): block for _, stack in _stacks(model) for block in stack}
    hooks = [block.register_forward_hook(keep) for block in blocks.values()]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()
