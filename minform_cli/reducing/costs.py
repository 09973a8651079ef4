"""What an encoder loses by each of its parts and sublayers on one calibration sample, measured once for all budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from torch import nn

from minform_cli.config.schema import ModelConfig
from minform_cli.reducing.asked import PARTS, STRUCTURES, Part
from minform_cli.reducing.calibration import Inputs
from minform_cli.reducing.removal import NOTHING, Away, removals
from minform_cli.reducing.sensitivity import losses
from minform_cli.reducing.sizes import Losses


class Costs:
    """Measured when they are first asked for.

    Args:
        original: an encoder of standard parts, in evaluation mode; left as it is.
        model: its config.
        batches: of calibration.
        only: what may be made smaller, or go; none: ranks, hidden units and sublayers.
    """

    def __init__(
        self, original: nn.Module, model: ModelConfig, batches: Sequence[Inputs], only: Sequence[str] = ()
    ) -> None:
        self.original, self.model, self.batches = original, model, batches
        self._parts: list[Part] = [part for part in PARTS if not only or part in only]
        self._structures = [name for name in STRUCTURES if name in (only or ("sublayers",))]
        self._known: list[Away] = [NOTHING]
        self._more: Iterator[Away] | None = None

    @cached_property
    def curves(self) -> Losses:
        """Of every part of every block that may be made smaller."""
        return losses(self.original, self.model, self.batches, self._parts) if self._parts else {}

    def away(self) -> Iterator[Away]:
        """Nothing, then ever more sublayers or blocks, where those may go."""
        at = 0
        while at < len(self._known) or self._next():
            yield self._known[at]
            at += 1

    def _next(self) -> bool:
        if self._more is None:
            sublayers, whole = ("sublayers" in self._structures), ("blocks" in self._structures)
            if not self._structures:
                return False
            self._more = removals(self.original, self.model, self.batches, sublayers=sublayers, whole=whole)
        found = next(self._more, None)
        if found is not None:
            self._known.append(found)
        return found is not None
