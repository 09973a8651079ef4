"""Second moments of what the maps of a model read, for those of another that are to do nearly the same."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from minform_cli.models.parts.linear import StoredMap
from minform_cli.reducing.calibration import Inputs


@contextmanager
def moments_of(original: nn.Module, model: nn.Module, batches: Sequence[Inputs]) -> Generator[None]:
    """In this context, each map of `model` that is not one matrix has the moment of what that of its name reads.

    That is the map in `original`, on `batches`; where it has none of that name, or one of another width, there is none.
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
    theirs = dict(original.named_modules())
    maps = {name: part for name, part in model.named_modules() if isinstance(part, StoredMap) and name in theirs}
    seen: list[Tensor | None] = [None]
    moments: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            (x,) = inputs
            real = seen[0]
            rows = x.flatten(0, -2) if real is None or real.shape != x.shape[:-1] else x[real]
            moments[name] = moments.get(name, 0.0) + (rows.T @ rows).double()

        return keep

    hooks = [theirs[name].register_forward_pre_hook(keeper(name)) for name in maps]
    try:
        for inputs in batches if maps else ():
            seen[0] = inputs[2] if len(inputs) > 2 else None
            original(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [(maps[name], moment) for name, moment in moments.items() if len(moment) == len(maps[name].matrix())]
