"""Two models block by block: the numbers of each by group, and how far apart what they give is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from minform_cli.models.parts.norm import RmsNorm
from minform_cli.models.parts.similarity.base import QueryKey
from minform_cli.models.stack import EncoderDecoder
from minform_cli.models.verify import count_groups
from minform_cli.reducing.calibration import Inputs
from minform_cli.reducing.records import ReducedLayerRecord


def layer_records(
    original: nn.Module, reduced: nn.Module, batches: Sequence[Inputs], kept: Sequence[int] = ()
) -> list[ReducedLayerRecord]:
    """One a depth at which a block of the original runs, the encoder's first; empty where the two are of other depths.

    Args:
        original, reduced: on the CPU; left in evaluation mode.
        batches: that what blocks give is compared on.
        kept: which of the original's depths, from 0, the reduced model's blocks are of, an encoder's; none: all.
    """
    if kept:
        return _of_kept(original, reduced, batches, kept)
    stacks = list(zip(_stacks(original), _stacks(reduced), strict=True))
    if any(len(ours) != len(theirs) for (_, ours), (_, theirs) in stacks):
        return []
    errors = _errors(original, reduced, batches)
    records: list[ReducedLayerRecord] = []
    for (name, before), (_, after) in stacks:
        numbers = zip(_numbers(before), _numbers(after), strict=True)
        for depth, (own, left) in enumerate(numbers, 1):
            apart: dict[str, float | None] = dict.fromkeys(ERRORS)
            apart |= errors[len(records)] if errors else {}
            records.append(ReducedLayerRecord(layer=depth, stack=name, before=own, after=left, errors=apart))
    return records


def _of_kept(
    original: nn.Module, reduced: nn.Module, batches: Sequence[Inputs], kept: Sequence[int]
) -> list[ReducedLayerRecord]:
    """Blocks that are away have no numbers left, and nothing to compare."""
    ((name, before),), ((_, after),) = _stacks(original), _stacks(reduced)
    errors = dict(zip(kept, _errors(original, reduced, batches, kept), strict=False))
    left = dict(zip(kept, _numbers(after), strict=True))
    return [
        ReducedLayerRecord(
            layer=depth + 1,
            stack=name,
            before=own,
            after=left.get(depth, dict.fromkeys(own, 0)),
            errors=dict.fromkeys(ERRORS) | errors.get(depth, {}),
        )
        for depth, own in enumerate(_numbers(before))
    ]


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


_Given = dict[str, Tensor]
"""What a block gives: `scores` (B, H, T, T), `values`, `mlp` and `output`, each (B, T, N); what it lacks is absent."""


@torch.no_grad()
def _errors(
    original: nn.Module, reduced: nn.Module, batches: Sequence[Inputs], kept: Sequence[int] = ()
) -> list[dict[str, float | None]]:
    """Of what each block gives, squares of the difference over squares of the original's, over all real tokens.

    Scores are compared as softmax sees them, less their mean over the tokens that are attended to. Where the reduced
    model's tokens have a mean of zero, which no norm reads, the original's are compared without it.
    """
    centred = any(isinstance(part, RmsNorm) for part in reduced.modules())
    sums: list[dict[str, list[float]]] = []
    original.eval()
    reduced.eval()
    with _given(original) as theirs, _given(reduced) as ours:
        for inputs in batches:
            theirs.clear()
            ours.clear()
            original(*inputs)
            reduced(*inputs)
            sums = sums or [{} for _ in ours]
            both = zip(sums, [theirs[depth] for depth in kept] if kept else theirs, ours, strict=True)
            for own, wanted, found in both:
                real = _real(inputs, wanted["output"])
                for name in wanted.keys() & found.keys():
                    pair = [_compared(name, each[name], real, centred=centred) for each in (wanted, found)]
                    if pair[0].shape == pair[1].shape:
                        far, size = own.setdefault(name, [0.0, 0.0])
                        own[name] = [
                            far + float((pair[1] - pair[0]).square().sum()),
                            size + float(pair[0].square().sum()),
                        ]
    return [
        {name: own[name][0] / max(own[name][1], 1e-300) if name in own else None for name in ERRORS} for own in sums
    ]


ERRORS = ("scores", "values", "mlp", "output")
"""What errors are told of: the scores of attention, what it gives, what the MLP gives, what the block gives."""


def _compared(name: str, given: Tensor, real: Tensor, *, centred: bool) -> Tensor:
    """Of real tokens, in float64."""
    given = given.double()
    if name == "scores":
        asked = real if real.shape[1] == given.shape[2] else real[:, :0]
        if real.shape[1] != given.shape[3]:
            return given.new_zeros(0)
        keys = real[:, None, None, :]
        means = (given * keys).sum(-1, keepdim=True) / keys.sum(-1, keepdim=True)
        return ((given - means) * keys).transpose(1, 2)[asked]
    rows = given[real]
    return rows - rows.mean(-1, keepdim=True) if centred else rows


def _real(inputs: Inputs, states: Tensor) -> Tensor:
    """Which tokens of (B, T, N) do not only fill up, (B, T)."""
    real = inputs[2] if len(inputs) > 2 else None
    if real is not None and real.shape == states.shape[:2]:
        return real
    return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)


@contextmanager
def _given(model: nn.Module) -> Generator[list[_Given]]:
    """A list that takes what each block gives, in the order they run."""
    given: list[_Given] = []

    def begin(_module: nn.Module, _inputs: object) -> None:
        given.append({})

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            given[-1][name] = output

        return hook

    def keep_scores(_module: nn.Module, _inputs: object, output: QueryKey) -> None:
        given[-1]["scores"] = output.products()

    hooks: list[RemovableHandle] = []
    for block in {id(block): block for _, stack in _stacks(model) for block in stack}.values():
        parts = cast(Any, block)
        hooks.append(block.register_forward_pre_hook(begin))
        hooks.append(block.register_forward_hook(keep("output")))
        if parts.attention is not None:
            hooks.append(parts.attention.similarity.register_forward_hook(keep_scores))
            hooks.append(parts.attention.register_forward_hook(keep("values")))
        if parts.mlp is not None:
            hooks.append(parts.mlp.register_forward_hook(keep("mlp")))
    try:
        yield given
    finally:
        for hook in hooks:
            hook.remove()
