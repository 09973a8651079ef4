"""Successive halving over epochs, for two goals: which trials go on once they have had so many.

Whoever reaches a rung is ranked at once among those that have reached it before, and goes on if it is one of the best
third: nobody waits for others, so that processes and machines need not meet (ASHA, arXiv 1810.05934). With two goals
the ranks are those of fronts: first the trials that no other beats in both the score and the parameters, then those
that only these beat, and so on; in a front the higher score comes first (MO-ASHA, arXiv 2106.12639).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minform_cli.errors import MachineError
from minform_cli.files import RunFolder

REDUCTION = 3
"""Of so many that reach a rung, one goes on."""


class Standing(NamedTuple):
    """One trial at a rung."""

    score: float
    parameters: int


def rungs(epochs: int) -> list[int]:
    """After which epochs a trial may be stopped: a ninth of all, and a third.

    Earlier ones would rank trials while their learning rates still warm up, and leave one of 27 for the front.
    """
    return sorted({epoch for epoch in (epochs // REDUCTION**2, epochs // REDUCTION) if epoch >= 1})


def goes_on(own: Standing, others: Sequence[Standing]) -> bool:
    """Whether a trial is one of the best third at its rung, itself among them; the first one always is."""
    everyone = [own, *others]
    ranked = sorted(zip(fronts(everyone), everyone, strict=True), key=lambda each: (each[0], -each[1].score))
    best = [standing for _, standing in ranked[: math.ceil(len(everyone) / REDUCTION)]]
    return own in best


def fronts(standings: Sequence[Standing]) -> list[int]:
    """Which front each is of: 0 if nothing beats it, 1 if only such do, and so on."""
    left, found, number = set(range(len(standings))), [0] * len(standings), 0
    while left:
        front = {i for i in left if not any(_beats(standings[j], standings[i]) for j in left)}
        for i in front:
            found[i] = number
        left, number = left - front, number + 1
    return found


def _beats(one: Standing, other: Standing) -> bool:
    at_least = one.score >= other.score and one.parameters <= other.parameters
    return at_least and one != other


def scores(folder: Path, metric: str) -> dict[int, float]:
    """Epoch -> validation score of the trial in `folder`, as far as it has come.

    Raises:
        MachineError: the disk does not give what is there, on which it depends which trials go on.
    """
    metrics = RunFolder(folder).metrics
    try:
        lines = metrics.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise MachineError(f"{metrics} cannot be read: {error.strerror or error}") from None
    found: dict[int, float] = {}
    for text in lines:
        try:
            line: dict[str, Any] = json.loads(text)
        except ValueError:  # its last line is being written
            break
        found[int(line["epoch"])] = float(line[f"val_{metric}"])
    return found
