"""Scores of single examples: a file with a row an example and run, or what lm-evaluation-harness leaves of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError, counted
from minform_cli.tables import names
from minform_cli.tables.columns import Roles, empty, find_roles
from minform_cli.tables.records import Better, ByRun, Row, RunTable, Sheet, TableRun
from minform_cli.tables.runs import known_better, number_in, seed_in, text_in
from minform_cli.tables.shapes import read_sheet
from minform_cli.tables.text_files import read_json_lines

NEAR = 1e-3
"""How far a run's score may be from the mean over its examples to be that mean: tables round."""

_RUN_NAMES = ("run", "run_name", "run_id", "name", "Name")


@dataclass(frozen=True)
class _Found:
    """Scores by run and example, what the score is called, and what was recognised."""

    shape: str
    form: str
    score: str
    by_run: ByRun


def table_of_examples(path: Path, columns: Mapping[str, str], better: Better | None = None) -> RunTable:
    """The runs of a file with a row an example and run; the score of each is the mean over its examples.

    Raises:
        InputError: as `tables.runs.read_runs`; or an example is there twice.
    """
    found = _read(path, columns)
    unit = names.unit(found.score, [score for each in found.by_run.values() for score in each.values()])
    by_run = _scaled(found.by_run, 100) if unit == "percent" else found.by_run
    means = {run: sum(each.values()) / len(each) for run, each in by_run.items()}
    runs = tuple(TableRun(variant, seed, means[variant, seed], None, str(path)) for variant, seed in by_run)
    return RunTable(
        source=str(path),
        shape=found.shape,
        form=found.form,
        score=names.shown(found.score),
        unit="%" if unit else "",
        better=known_better(found.score, better, None, str(path)),
        runs=runs,
        notes=("a run's score is the mean over its examples",),
        examples=by_run,
        example_score=names.shown(found.score),
    )


def with_examples(table: RunTable, path: Path, columns: Mapping[str, str]) -> RunTable:
    """`table` with the scores of the examples of its runs.

    Raises:
        InputError: as `table_of_examples`; or a run is none of the table's.
    """
    if not table.paired:
        raise InputError(f"--examples {path}: without seeds nothing tells the runs of {table.source} apart")
    found = _read(path, columns)
    known = {(run.variant, run.seed) for run in table.runs}
    for variant, seed in found.by_run:
        if (variant, seed) not in known:
            there = ", ".join(sorted({variant for variant, _ in known}))
            raise InputError(
                f"{path}: {variant!r} with seed {seed} is no run of {table.source}; accepted: its runs, of {there}"
            )
    unit = names.unit(found.score, [score for each in found.by_run.values() for score in each.values()])
    by_run = _scaled(found.by_run, 100) if unit == "percent" and table.unit == "%" else found.by_run
    return with_scores(table, by_run, table.score, f"{names.shown(found.score)} by example", [])


def with_scores(table: RunTable, by_run: ByRun, score: str, otherwise: str, notes: Sequence[str]) -> RunTable:
    """`table` with the scores of examples of some of its runs.

    Args:
        table: the runs.
        by_run: scores in the unit of the table's; empty: none are known.
        score: what they are called where a run's score is the mean over its examples.
        otherwise: what they are called where it is not.
        notes: what else is to be said.
    """
    said = [*table.notes, *notes]
    if not by_run:
        return replace(table, notes=tuple(said))
    without = len(table.runs) - len(by_run)
    said += [f"{table.source}: the examples of {counted(without, 'run')} are not known"] if without else []
    apart = _apart(table, by_run)
    said += [] if apart is None else [apart]
    return replace(table, examples=by_run, example_score=score if apart is None else otherwise, notes=tuple(said))


def _apart(table: RunTable, by_run: ByRun) -> str | None:
    """That a run's score is not the mean over its examples; None where all are."""
    for run in table.runs:
        each = by_run.get((run.variant, run.seed))
        if each is None:
            continue
        mean = sum(each.values()) / len(each)
        if abs(mean - run.score) > NEAR * max(1.0, abs(run.score)):
            return (
                f"the mean over the examples of {run.variant!r}, seed {run.seed}, is {mean:.6g} and its score "
                f"{run.score:.6g}: what is said over examples is of their mean, and not judged by the margin"
            )
    return None


def with_samples(table: RunTable) -> RunTable:
    """`table` of lm-evaluation-harness's results, with the samples that lie beside them, where it was asked for them.

    ``results_DATE.json`` stands beside ``samples_TASK_DATE.jsonl``, a line an example and filter.

    Raises:
        InputError: a file is damaged.
    """
    task, _, metric = table.score.partition("/")
    metric, _, through = metric.partition("/")
    by_run: dict[tuple[str, str], dict[str, float]] = {}
    for run in table.runs:
        results = Path(run.place)
        date = results.name.removeprefix("results_").removesuffix(".json")
        samples = results.with_name(f"samples_{task}_{date}.jsonl")
        if samples.is_file():
            found = _samples(samples, metric, through or "none")
            if found:
                by_run[run.variant, run.seed] = found
    return with_scores(table, by_run, table.score, f"{metric} by example", [])


def _samples(path: Path, metric: str, through: str) -> dict[str, float]:
    """The metric of each example that went through this filter; empty where it is no number of single examples."""
    scores: dict[str, float] = {}
    for row in read_json_lines(path).rows:
        if str(row.cells.get("filter") or "none") != through:
            continue
        value: Any = row.cells.get(metric)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return {}
        scores[_example(row, "doc_id", scores)] = float(value)
    return scores


def _read(path: Path, columns: Mapping[str, str]) -> _Found:
    source = str(path)
    sheet = read_sheet(path, "--examples")
    example = _example_column(sheet, columns, source)
    asked = {role: name for role, name in columns.items() if role != "example" and name in (*sheet.columns, "")}
    if sheet.run_name is None:
        named = next((name for name in _RUN_NAMES if name in sheet.columns), None)
        sheet = replace(sheet, run_name=named)
    sheet, roles = find_roles(replace(sheet, aside=sheet.aside | {example}), {**asked, "parameters": ""}, source)
    if roles.wide:
        raise InputError(
            f"{source}: has no column with the scores, but one for each of {', '.join(roles.wide)}; accepted: a row an "
            "example and run"
        )
    seed = "" if roles.seed is None else f", seed {roles.seed!r}"
    form = f"a row an example ({example!r}): variant {roles.variant!r}{seed}, score {roles.score!r}"
    return _Found(sheet.shape, form, roles.score or "score", _by_run(sheet.rows, roles, example))


def _example_column(sheet: Sheet, columns: Mapping[str, str], source: str) -> str:
    asked = columns.get("example")
    if asked is not None and asked in sheet.columns:
        return asked
    found = [column for column in names.usual("example", sheet.columns) if column not in sheet.aside]
    if asked is not None or not found:
        there = ", ".join(sheet.columns)
        raise InputError(f"{source}: no column says the example; accepted: --columns example=NAME, one of {there}")
    if len(found) > 1:
        raise InputError(
            f"{source}: several columns may say the example: {', '.join(found)}; accepted: --columns example=NAME"
        )
    return found[0]


def _by_run(rows: Iterable[Row], roles: Roles, example: str) -> ByRun:
    """Scores by run; without a seed (`seed=`) there is one run a variant."""
    assert roles.variant is not None and roles.score is not None
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        seed = "1" if roles.seed is None else seed_in(row, roles.seed)
        scores = found.setdefault((text_in(row, roles.variant), seed), {})
        scores[_example(row, example, scores)] = _score(row, roles.score)
    return found


def _score(row: Row, column: str) -> float:
    """A number; or whether an answer is right."""
    told = str(row.cells.get(column)).strip().lower()
    return float(told == "true") if told in ("true", "false") else number_in(row, column)


def _example(row: Row, column: str, before: Mapping[str, float]) -> str:
    """The name of the row's example, which no row before has."""
    cell = row.cells.get(column)
    if empty(cell):
        raise InputError(f"{row.place}: {column!r} is empty; accepted: what tells examples apart")
    name = str(cell).strip()
    if name in before:
        raise InputError(f"{row.place}: example {name!r} is there twice in one run; accepted: once")
    return name


def _scaled(by_run: ByRun, by: float) -> ByRun:
    return {run: {name: score / by for name, score in each.items()} for run, each in by_run.items()}


def in_common(scores: Sequence[Mapping[str, float]]) -> list[str]:
    """The examples that all have, in the order of the first."""
    others = [each.keys() for each in scores[1:]]
    return [name for name in scores[0] if all(name in each for each in others)]
