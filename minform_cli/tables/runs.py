"""From a sheet to its runs: each number read and checked, each variant and seed there once."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from minform_cli.errors import InputError, counted
from minform_cli.tables import names
from minform_cli.tables.columns import Roles, empty, find_roles
from minform_cli.tables.records import Better, Cell, Row, RunTable, Sheet, TableRun
from minform_cli.tables.shapes import read_sheet

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def read_runs(path: Path, columns: Mapping[str, str], better: Better | None = None) -> RunTable:
    """The runs in a file or folder of another tool.

    Args:
        path: the file or folder.
        columns: names of columns by role, where their own names do not say it.
        better: which scores are better, where their name does not say it.

    Raises:
        InputError: nothing can be read there, or a number is missing, is none, or is there twice; with file and row.
    """
    source = str(path)
    sheet, roles = find_roles(read_sheet(path), columns, source)
    runs = _long(sheet, roles) if not roles.wide else _wide(sheet, roles)
    check_once(runs)
    runs = _with_parameters(runs)
    score = roles.score or "score"
    known = known_better(score, better, sheet.better, source)
    unit = names.unit(score, [run.score for run in runs])
    notes = list(sheet.notes)
    if unit == "percent":
        low = min(runs, key=lambda run: run.score)
        if 0 < low.score <= 1:
            notes.append(f"{names.shown(score)} was taken for percents, {low.score:g} ({low.place}) too")
        runs = [replace(run, score=run.score / 100) for run in runs]
    elif unit == "fraction":
        notes.append(f"{names.shown(score)} holds fractions 0..1, which are shown in percent")
    return RunTable(
        source=source,
        shape=sheet.shape,
        form=_form(roles),
        score=names.shown(score),
        unit="%" if unit else "",
        better=known,
        runs=tuple(runs),
        notes=tuple(notes),
        paired=roles.seed is not None or roles.wide_by == "seed",
    )


def known_better(score: str, asked: Better | None, of_tool: Better | None, source: str) -> Better:
    """Which scores are better: as asked for, as the tool says, else as the name of the score does.

    Raises:
        InputError: nobody says it.
    """
    known = asked or of_tool or names.better(score)
    if known is None:
        raise InputError(
            f"{source}: whether more of {score!r} is better is not known; accepted: --higher-is-better, "
            "--lower-is-better"
        )
    return known


def _form(roles: Roles) -> str:
    if not roles.wide:
        parameters = f", parameters {roles.parameters!r}" if roles.parameters is not None else ""
        seed = "" if roles.seed is None else f", seed {roles.seed!r}"
        return f"a row a run: variant {roles.variant!r}{seed}, score {roles.score!r}{parameters}"
    num = len(roles.wide)
    if roles.wide_by == "seed":
        return f"a row a variant ({roles.variant!r}) and {counted(num, 'column')} of seeds"
    row = "a row" if roles.seed is None else f"a row a seed ({roles.seed!r})"
    return f"{row} and {counted(num, 'column')} of variants: {', '.join(roles.wide)}"


def _long(sheet: Sheet, roles: Roles) -> list[TableRun]:
    assert roles.variant is not None and roles.score is not None
    runs: list[TableRun] = []
    before = Counter[str]()
    for row in sheet.rows:
        variant = text_in(row, roles.variant)
        score, parameters = number_in(row, roles.score), _parameters(row, roles.parameters)
        runs.append(TableRun(variant, _seed(row, roles, before, variant), score, parameters, row.place))
    return runs


def _seed(row: Row, roles: Roles, before: Counter[str], variant: str) -> str:
    """The row's seed; without any, which of the variant's runs it is, from 1 on. `before` counts them."""
    before[variant] += 1
    return str(before[variant]) if roles.seed is None else seed_in(row, roles.seed)


def _wide(sheet: Sheet, roles: Roles) -> list[TableRun]:
    """A run a cell; an empty one is a run that there was not."""
    runs: list[TableRun] = []
    before = Counter[str]()
    for row in sheet.rows:
        for column in roles.wide:
            if empty(row.cells.get(column)):
                continue
            if roles.wide_by == "seed":
                variant, seed = text_in(row, roles.variant or ""), names.seed_of_column(column) or column
            else:
                variant, seed = column, _seed(row, roles, before, column)
            place = f"{row.place}, column {column!r}"
            runs.append(TableRun(variant, seed, number_in(row, column), _parameters(row, roles.parameters), place))
    return runs


def text_in(row: Row, column: str) -> str:
    """The name of a variant."""
    cell = row.cells.get(column)
    if empty(cell):
        raise InputError(f"{row.place}: {column!r} is empty; accepted: the name of the variant")
    return str(cell).strip()


def seed_in(row: Row, column: str) -> str:
    """A seed as text, whole numbers in one spelling: some tools write 0 as ``0.0``."""
    cell = row.cells.get(column)
    if empty(cell) or (isinstance(cell, float) and math.isnan(cell)):
        raise InputError(f"{row.place}: {column!r} is empty; accepted: the seed, which pairs runs")
    text = str(cell).strip()
    return str(int(float(text))) if re.fullmatch(r"[+-]?\d{1,15}(?:\.0*)?", text) else text


def number_in(row: Row, column: str) -> float:
    """A score."""
    cell = row.cells.get(column)
    value = _parsed(cell)
    if value is None or not math.isfinite(value):
        raise InputError(f"{row.place}: {column!r}: {_why_not(cell)}")
    return value


def _parsed(cell: Cell) -> float | None:
    if isinstance(cell, bool) or cell is None:
        return None
    if isinstance(cell, str):
        return float(cell) if _NUMBER.fullmatch(cell.strip()) else None
    return float(cell)


def _why_not(cell: Cell) -> str:
    """What is wrong with what should be a number."""
    if empty(cell):
        return "is empty; a run without its score cannot be compared, leave its row out"
    text = str(cell).strip()
    if re.fullmatch(r"[+-]?(nan|inf|infinity)", text.lower()):
        return f"is {text}; a run whose score is no finite number cannot be compared, leave its row out"
    if re.fullmatch(r"[+-]?\d+,\d+(,\d+)*", text):
        return f"expected a number, not {text!r}; accepted: a decimal point, no comma"
    if text.endswith("%"):
        return f"expected a number, not {text!r}; accepted: percents without the sign"
    return f"expected a number, not {text!r}"


def _parameters(row: Row, column: str | None) -> int | None:
    if column is None:
        return None
    cell = row.cells.get(column)
    if empty(cell) or (isinstance(cell, float) and math.isnan(cell)):
        return None
    value = _parsed(cell)
    if value is None or not value.is_integer() or not 0 < value < 2**63:
        said = f"expected a whole number above 0, not {str(cell).strip()!r}"
        raise InputError(f"{row.place}: {column!r}: {said}; --columns parameters= reads none")
    return int(value)


def check_once(runs: Sequence[TableRun]) -> None:
    """Raises `InputError` where a variant has a seed twice."""
    first: dict[tuple[str, str], TableRun] = {}
    for run in runs:
        other = first.setdefault((run.variant, run.seed), run)
        if other is not run:
            raise InputError(
                f"{run.place}: {run.variant!r} with seed {run.seed} is there twice, first in {other.place}; accepted: "
                "one run a variant and seed"
            )


def _with_parameters(runs: Sequence[TableRun]) -> list[TableRun]:
    """The runs with the parameters of their variant, also where the table says them in one of its rows alone.

    Raises:
        InputError: a variant has two numbers.
    """
    first: dict[str, TableRun] = {}
    for run in runs:
        if run.parameters is None:
            continue
        other = first.setdefault(run.variant, run)
        if other.parameters != run.parameters:
            raise InputError(
                f"{run.place}: {run.variant!r} has {run.parameters:,} parameters, and {other.parameters:,} in "
                f"{other.place}; accepted: one number a variant"
            )
    return [replace(run, parameters=first[run.variant].parameters if run.variant in first else None) for run in runs]
