"""Where each tensor of ours stands in another library's file: alone, or as a part of one that holds several maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from minform_cli.foreign.adapters.theirs import Theirs
from minform_cli.runs.tensors import Tensors


@dataclass(frozen=True)
class Place:
    """Where the tensors of one module are.

    Attributes:
        opening: of their names, up to `weight` and `bias`; a whole name where a tensor stands by itself.
        part: which of several maps that stand in one, from 0.
        parts: how many do.
        turned: whether a map is kept as x W has it, (in, out).
        ones: dimensions of length one before the others.
        rows: how many of a matrix of ours it gives, where several places do.
    """

    opening: str
    part: int = 0
    parts: int = 1
    turned: bool = False
    ones: int = 0
    rows: int = 1

    def take(self, theirs: Theirs, ending: str, shape: tuple[int, ...]) -> Tensor:
        """The tensor, of our `shape`; all that stand in one name must be asked for.

        Raises:
            InputError: as of `Theirs.take`.
        """
        rows, *others = shape
        whole = (rows * self.parts, *others)
        wanted = (1,) * self.ones + (whole[::-1] if self.turned else whole)
        held = theirs.take(self.opening + ending, wanted)
        found = held.mT if self.turned and others else held.reshape(whole)
        return found[self.part * rows : (self.part + 1) * rows].clone(memory_format=torch.contiguous_format)


Named = Mapping[str, Place | tuple[Place, ...]]
"""A tensor or a module of ours -> its place; several places: the rows of a matrix of ours, one after another."""


def placed(theirs: Theirs, expected: Tensors, fixed: Named, block: str, in_block: Mapping[str, Place]) -> Tensors:
    """The tensors of `expected` by our names, out of those of `theirs`.

    Args:
        theirs: what the file holds.
        expected: our model's tensors, for their shapes.
        fixed: places outside blocks.
        block: what the names in block {} begin with.
        in_block: our modules in a block -> their places behind that.

    Raises:
        InputError: one is missing, misshapen or not finite.
    """
    taken: dict[str, Tensor] = {}
    for name, tensor in expected.items():
        shape, (module, _, ending) = tuple(tensor.shape), name.rpartition(".")
        if name in fixed:
            place, ending = fixed[name], ""
        elif module in fixed:
            place = fixed[module]
        else:
            _, number, inside = module.split(".", 2)
            found = in_block[inside]
            place = Place(block.format(number) + found.opening, found.part, found.parts, found.turned)
        if isinstance(place, Place):
            taken[name] = place.take(theirs, ending, shape)
        else:
            taken[name] = torch.cat([each.take(theirs, ending, (each.rows, *shape[1:])) for each in place])
    return taken
