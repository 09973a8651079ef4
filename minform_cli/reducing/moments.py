"""Second moments of what the maps of a model read, for those of another that are to do nearly the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence, Set
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from minform_cli.models.parts.linear import AdaptedMap, StoredMap
from minform_cli.reducing.calibration import Inputs


@contextmanager
def moments_of(original: nn.Module, model: nn.Module, batches: Sequence[Inputs]) -> Generator[None]:
    """In this context, each map of `model` that is not one matrix has the moment of what that of its name reads.

    That is the map in `original`, on `batches`, or the sum over those that stand where a shared block runs; where there
    is none of that name, or one of another width, there is no moment.
    """
    with torch.no_grad():
        found = _gathered(original, model, batches)
    try:
        for part, moment in found:
            part.moment = moment
        yield
    finally:
        for part, _ in found:
            part.moment = None


def _gathered(original: nn.Module, model: nn.Module, batches: Sequence[Inputs]) -> list[tuple[StoredMap, Tensor]]:
    readers = {name: _read_by(original, model, name) for name in _stored(model)}
    moments = _moments(original, {name for names in readers.values() for name in names}, batches)
    found: list[tuple[StoredMap, Tensor]] = []
    for name, part in _stored(model).items():
        own = [moments[reader] for reader in readers[name] if reader in moments]
        if own and {len(each) for each in own} == {len(part.matrix())}:
            found.append((part, torch.stack(own) if isinstance(part, AdaptedMap) else torch.stack(own).sum(0)))
    return found


def _stored(model: nn.Module) -> dict[str, StoredMap]:
    return {name: part for name, part in model.named_modules() if isinstance(part, StoredMap)}


_BLOCK = re.compile(r"(blocks|decoder_blocks)\.(\d+)\.(.+)")


def _read_by(original: nn.Module, model: nn.Module, name: str) -> list[str]:
    """The maps of `original` that stand where that map of `model` does: of a block one for each time it runs."""
    found = _BLOCK.fullmatch(name)
    if found is None:
        return [name]
    stack, number, rest = found[1], int(found[2]), found[3]
    orders = "decoder_order" if stack == "decoder_blocks" else "order"
    own, theirs = (cast("tuple[int, ...]", getattr(each, orders)) for each in (model, original))
    return [f"{stack}.{other}.{rest}" for other, block in zip(theirs, own, strict=True) if block == number]


def _moments(original: nn.Module, names: Set[str], batches: Sequence[Inputs]) -> dict[str, Tensor]:
    """Of what the maps of these names read, where they are there."""
    seen: list[Tensor | None] = [None]
    moments: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            (x,) = inputs
            real = seen[0]
            rows = x.flatten(0, -2) if real is None or real.shape != x.shape[:-1] else x[real]
            moments[name] = moments.get(name, 0.0) + (rows.T @ rows).double()

        return keep

    parts = dict(original.named_modules())
    hooks = [parts[name].register_forward_pre_hook(keeper(name)) for name in sorted(names) if name in parts]
    try:
        for inputs in batches if hooks else ():
            seen[0] = inputs[2] if len(inputs) > 2 else None
            original(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return moments
