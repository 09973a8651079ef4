"""What is read of other tools' files: a sheet as it stands there, and the runs in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Cell = str | int | float | bool | None
"""What stands in one field: text where the file has nothing but text."""

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Row:
    """One row: where it stands, for messages, and its cells by column."""

    place: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A file or folder as rows and columns, before anybody asks which column is what.

    Attributes:
        shape: what it was recognised as.
        columns: names, in their order.
        rows: one at least.
        aside: columns of the tool's own bookkeeping, which say neither variant, seed nor score.
        run_name: column of the runs' names, which may hold variant and seed.
        score: column that the tool itself calls the score.
        better: which scores the tool calls better.
        notes: what was left out, and why.
    """

    shape: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    aside: frozenset[str] = frozenset()
    run_name: str | None = None
    score: str | None = None
    better: Better | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableRun:
    """One run: `score` in the unit of its table, `place` where it was read."""

    variant: str
    seed: str
    score: float
    parameters: int | None
    place: str


ByRun = Mapping[tuple[str, str], Mapping[str, float]]
"""Scores by variant and seed, and then by the name of an example."""


@dataclass(frozen=True, kw_only=True)
class RunTable:
    """The runs of a file or folder.

    Attributes:
        source: the file or folder, as it was named.
        shape: what it was recognised as.
        form: how variants and seeds stand in it, in words.
        score: name of the score.
        unit: ``%`` where scores are fractions 0..1 that are shown in percent, else empty: the score's own.
        better: whether higher or lower scores are better.
        runs: one a variant and seed.
        notes: what was left out or taken for what.
        paired: whether seeds pair the runs; else each variant's runs are numbered in their order.
        examples: scores of single examples, of the runs whose examples are known.
        example_score: what those are called: `score` where a run's score is the mean over its examples.
    """

    source: str
    shape: str
    form: str
    score: str
    unit: Literal["%", ""]
    better: Better
    runs: tuple[TableRun, ...]
    notes: tuple[str, ...] = ()
    paired: bool = True
    examples: ByRun = field(default_factory=dict[tuple[str, str], Mapping[str, float]])
    example_score: str = ""

    def by_variant(self) -> dict[str, list[TableRun]]:
        """The runs of each variant, in the order of their first."""
        found: dict[str, list[TableRun]] = {}
        for run in self.runs:
            found.setdefault(run.variant, []).append(run)
        return found
