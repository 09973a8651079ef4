"""GLUE's tab-separated files: a line an example, no quoting (a quotation mark is text), a header but for CoLA."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.glue.tasks import LARGEST_SCORE, GlueTask
from minform_cli.data.text.lines import TextFile, opener
from minform_cli.errors import InputError, counted

LONGEST_BYTES = 2**20
"""A longer line is no example."""

OTHER_NAMES = {"sentence": "content"}
"""Columns by a name that some packagings of the same files give them."""

MOST_BROKEN = 0.001
"""Share of the lines that may lack columns where the published files have such: more than these have."""

MOST_LINES = 10
"""How many broken lines a message tells beside the first."""


@dataclass(frozen=True)
class Table:
    """The examples of one file.

    Attributes:
        texts: for the one or two sentences of an example, those of all examples.
        labels: (n,) class numbers, int64; or scores, float32.
        place: where the file is, the same from wherever it is looked at.
        digest: SHA-256 in hex over its content, whichever examples were taken.
        num_broken: lines without all columns that were left out.
    """

    texts: tuple[list[str], ...]
    labels: NDArray[Any]
    place: str
    digest: str
    num_broken: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.intp]) -> Table:
        """The examples at `indices`, in that order."""
        texts = tuple([column[i] for i in indices.tolist()] for column in self.texts)
        return replace(self, texts=texts, labels=self.labels[indices])


def read_table(path: Path, task: GlueTask) -> Table:
    """The examples of the file at `path`, in its order.

    Of a task whose published files have lines without all columns, up to `MOST_BROKEN` of the lines are left out.

    Raises:
        InputError: the file is missing, empty or no UTF-8, lacks a column, or has lines without all columns or with
            another label; their numbers are told.
    """
    texts: tuple[list[str], ...] = tuple([] for _ in task.sentences)
    labels: list[float] = []
    broken: list[tuple[int, str]] = []
    wanted: tuple[int, ...] = ()
    width = num_short = 0
    file = TextFile(_printable(path), opener(path), "accepted: text in UTF-8")
    digest = hashlib.sha256()
    for number, cells in _rows(file, digest.update):
        if not wanted:
            wanted, is_header = _columns(cells, task, f"{file.where}:{number}")
            width = len(cells) if is_header else len(task.columns)
            if is_header:
                continue
        if len(cells) != width:
            broken.append((number, f"{_counted(len(cells))}, not the {width} of an example"))
            num_short += 1
            continue
        *sentences, text = (cells[place] for place in wanted)
        label = _label(text, task)
        if label is None:
            broken.append((number, _wrong_label(text, task)))
            continue
        labels.append(label)
        for column, sentence in zip(texts, sentences, strict=True):
            column.append(sentence)
    left_out = task.has_broken_lines and len(broken) == num_short <= MOST_BROKEN * len(labels)
    if broken and not left_out:
        raise InputError(_told(path, broken))
    if not labels:
        what = "has a header and no examples" if wanted else "is empty"
        raise InputError(f"{str(path)!r} {what}; accepted: {task.title}'s examples, a line each")
    numbers = np.array(labels, dtype=np.float32 if task.is_regression else np.int64)
    return Table(texts, numbers, str(path.resolve()), digest.hexdigest(), len(broken))


def _rows(file: TextFile, hashed: Callable[[bytes], None]) -> Iterator[tuple[int, list[str]]]:
    """Line numbers from 1, and the cells; empty lines count only where something follows them."""
    empty = 0
    for first, lines in file.lines(hashed, LONGEST_BYTES):
        for number, line in enumerate(lines, first):
            if not line:
                empty = empty or number
                continue
            if empty:
                raise InputError(f"{file.where}:{empty}: the line is empty; remove it")
            yield number, line.split("\t")


def _columns(first: Sequence[str], task: GlueTask, where: str) -> tuple[tuple[int, ...], bool]:
    """Where the sentences and the label stand, going by the `first` line, and whether that is a header."""
    names = [*task.sentences, task.label]
    present = [name if name in first else OTHER_NAMES.get(name, name) for name in names]
    missing = [repr(name) for name, found in zip(names, present, strict=True) if found not in first]
    if missing and task.columns:
        return tuple(task.columns.index(name) for name in names), False
    if missing:
        raise InputError(
            f"{where}: no column {' and none '.join(missing)} in the header; expected, in any order: "
            f"{', '.join(names)}; found: {_shortened(', '.join(first), 200)}"
        )
    for name in present:
        if first.count(name) > 1:
            raise InputError(f"{where}: {first.count(name)} columns are called {name!r}; accepted: one")
    return tuple(first.index(name) for name in present), True


def _label(text: str, task: GlueTask) -> float | None:
    """The class, or the score; None for neither."""
    if not task.is_regression:
        return task.texts.index(text) if text in task.texts else None
    try:
        score = float(text)
    except ValueError:
        return None
    return score if math.isfinite(score) and 0 <= score <= LARGEST_SCORE else None


def _wrong_label(text: str, task: GlueTask) -> str:
    accepted = f"a number from 0 to {LARGEST_SCORE:g}" if task.is_regression else ", ".join(task.texts)
    if text == "-":
        return f"{task.label} '-' is no label: those who were asked did not agree; accepted: {accepted}"
    return f"{task.label} is {_shortened(text, 40)}; accepted: {accepted}"


def _told(path: Path, broken: list[tuple[int, str]]) -> str:
    """The first broken line, and the numbers of some others."""
    (first, problem), *others = broken
    message = f"{_printable(path)}:{first}: {problem}"
    if not others:
        return f"{message}; correct or remove the line"
    lines = ", ".join(str(number) for number, _ in others[:MOST_LINES])
    more = f" and {len(others) - MOST_LINES:,} more" if len(others) > MOST_LINES else ""
    return f"{message}; line{'s' if len(others) > 1 else ''} {lines}{more} likewise: correct or remove them"


def _counted(columns: int) -> str:
    return counted(columns, "column")


def _shortened(text: str, most: int) -> str:
    return repr(text if len(text) <= most else f"{text[:most]}...")


def _printable(path: Path) -> str:
    return repr(str(path))[1:-1]
