"""What a tracker is told, and the one thing that it is: values alone, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

State = Literal["finished", "failed", "killed"]
"""How a run ended; `killed` is interrupted: it goes on where it is resumed."""

IN_EPOCH = "train_loss_so_far_in_epoch"
"""What is logged between two epochs."""


@dataclass(frozen=True)
class TrackedStudy:
    """A study: its folder, its name, and its settings, by key."""

    folder: Path
    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class TrackedRun:
    """A run.

    Attributes:
        folder: where it lies.
        name: what people see.
        config: every setting, in sections.
        counts: `parameters`, `share_of_baseline` and, where there is one, `determination_ratio`.
        study: that it is part of.
        finished: whether its result was there before this command.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    counts: Mapping[str, float]
    study: TrackedStudy | None = None
    finished: bool = False


class Point(NamedTuple):
    """Metrics by name, after so many optimiser steps."""

    step: int
    metrics: Mapping[str, float]


class Begun(NamedTuple):
    """A tracker's own name for a run, and the last step that it has of it; None: it does not know that."""

    id: str
    last: int | None


@dataclass(frozen=True)
class Table:
    """A study's table: columns, rows, the same as Markdown, and the files that the study's folder ends with."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    markdown: str
    files: Sequence[Path]


class Tracker(Protocol):
    """One tool that keeps runs. Every method may raise whatever the tool raises: the caller ends the log, not the run.

    `nests` says that a run must be told at its beginning which study it is part of.
    """

    nests: bool

    @property
    def where(self) -> str:
        """Where it keeps runs: a run that it knows elsewhere it does not know here."""
        ...

    def begin(self, run: TrackedRun, step: int, known: str | None, parent: str | None) -> Begun:
        """Begins a run that stands at `step`, or goes on with the one it knows as `known`, below the study `parent`."""
        ...

    def log(self, id: str, points: Sequence[Point]) -> None:
        """Adds points of a run, each later than all before."""
        ...

    def end(self, id: str, state: State, final: Point) -> None:
        """Ends a run; `final` are the numbers that it ends with, if it is finished."""
        ...

    def begin_study(self, study: TrackedStudy, known: str | None) -> str:
        """Begins a study, or goes on with the one it knows as `known`; its own name for it."""
        ...

    def end_study(self, id: str, state: State, table: Table | None) -> None:
        """Ends a study, with its table if that has changed."""
        ...
