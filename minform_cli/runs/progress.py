"""News of a run that is under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """One piece of news from a run, for whoever shows it.

    Attributes:
        kind: `note` (a sentence in `text`), `begin` (its folder is its own, and it stands at `step`), `step`, `epoch`
            (metrics are final for the epoch), `done`; in a study also `failed` (`text` says why).
        epoch, epochs: number of the epoch (from 1) and how many there are.
        step, steps: optimiser steps done in the whole run, and how many there will be.
        metrics: running or final metrics by name: `train_loss`, `val_loss`, and what the task measures, `val_accuracy`.
        examples_per_s: training throughput of the current epoch.
        seconds_left: estimate for the rest of the run.
        text: for `note` and `failed`.
        metric: what variants are compared by; its value on the validation split is `val_` and this name.
    """

    kind: Literal["note", "begin", "step", "epoch", "done", "failed"]
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    metrics: dict[str, float] | None = None
    examples_per_s: float = 0.0
    seconds_left: float = 0.0
    text: str = ""
    metric: str = "accuracy"


Listener = Callable[[Progress], None]


def silent(_news: Progress) -> None:
    """Nobody listens."""
