"""Runs of our own as a table, out of any folders of studies and runs: rows with recipes of their own, any metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minform_cli.counting.records import row_label
from minform_cli.errors import InputError, counted, unknown_name
from minform_cli.files import RunFolder
from minform_cli.runs.folder import flat
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.runs.stored import read_run
from minform_cli.study.listing import list_folder
from minform_cli.study.stored import check_same_data, read_study_folder
from minform_cli.tables.examples import with_scores
from minform_cli.tables.records import Better, ByRun, RunTable, TableRun
from minform_cli.tables.runs import check_once, known_better

SHAPE = "studies and runs of minform"

MOST_SETTINGS = 6
"""Settings in which rows differ that are named."""

_OWN = ("data.path", "data.source", "data.target", "data.val_source", "data.val_target")
"""Settings that say where data lie, which says nothing of the recipe."""


@dataclass(frozen=True)
class _Run:
    """A finished run: its folder, its result, and the folder of the study that it is part of."""

    folder: Path
    result: ResultRecord
    study: Path | None

    @property
    def label(self) -> str:
        return row_label(self.result["variant"], self.result.get("grid", {}))


def are_own(folder: Path) -> bool:
    """Whether a finished run of ours lies in `folder` or below."""
    if not folder.is_dir():
        return False
    return any(RunFolder(path.parent).is_finished() for path in folder.rglob(RunFolder(folder).meta.name))


def read_own(folder: Path, columns: Mapping[str, str], better: Better | None = None) -> RunTable:
    """The finished runs in `folder` and below, a row a variant; one of several studies is named with its study.

    Args:
        folder: of a study, of a run, or what holds some.
        columns: ``score`` names a metric, as ``test_accuracy``; without it, that of the validation split by which the
            runs are compared.
        better: which scores are better, where the name of the metric does not say it.

    Raises:
        InputError: runs are damaged, of other data than the others, there twice, or do not have the metric.
    """
    found = _collected(folder)
    check_same_data([run.result for run in found])
    score = columns.get("score") or f"val_{found[0].result['metric']}"
    names = _names(found)
    runs = [
        TableRun(
            names[run.folder],
            str(run.result["seed"]),
            _score(run, score),
            run.result["count"]["parameters"],
            str(run.folder),
        )
        for run in found
    ]
    check_once(runs)
    table = RunTable(
        source=str(folder),
        shape=SHAPE,
        form="last weights of every finished run",
        score=score,
        unit="" if score.endswith("_loss") else "%",
        better=known_better(score, better, None, str(folder)),
        runs=tuple(runs),
        notes=tuple(_recipes(found, names)),
    )
    examples, notes = _examples(found, names, score)
    return with_scores(table, examples, score, score, notes)


def _collected(folder: Path) -> list[_Run]:
    """Those of studies first, as the studies name them."""
    found: list[_Run] = []
    listed = list_folder(folder).records
    for study in (Path(record["folder"]) for record in listed if record["kind"] == "study"):
        stored = read_study_folder(study)
        found += [_Run(path, result, study) for path, result in stored.runs()]
    inside = {run.folder.resolve() for run in found}
    runs = (Path(record["folder"]) for record in listed if record["kind"] == "run")
    alone = [path for path in runs if path.resolve() not in inside and RunFolder(path).is_finished()]
    return found + [_Run(path, read_result(path), None) for path in alone]


def _names(runs: Sequence[_Run]) -> dict[Path, str]:
    """Each run's row: its variant, with its study where several have one of that name."""
    studies: dict[str, set[Path | None]] = {}
    for run in runs:
        studies.setdefault(run.label, set()).add(run.study)
    return {
        run.folder: run.label
        if len(studies[run.label]) == 1
        else f"{run.label} ({'alone' if run.study is None else run.study.name})"
        for run in runs
    }


def _score(run: _Run, score: str) -> float:
    metrics = run.result["metrics"]
    if score not in metrics:
        raise unknown_name("metric", score, metrics, f"--columns score ({run.folder})")
    value = metrics[score]
    if value is None:
        known = ", ".join(name for name, each in metrics.items() if each is not None)
        raise InputError(f"{run.folder}: has no {score}; accepted: {known}")
    return float(value)


def _examples(runs: Sequence[_Run], names: Mapping[Path, str], score: str) -> tuple[ByRun, list[str]]:
    """Right or wrong, where the score is the accuracy of a split and the runs say it."""
    from minform_cli.runs.examples import BITS, read_examples  # numpy, which refusing can do without

    split, _, metric = score.partition("_")
    found: dict[tuple[str, str], Mapping[str, float]] = {}
    notes: list[str] = []
    for run in runs if metric == "accuracy" else ():
        try:
            examples = read_examples(RunFolder(run.folder), run.result)
        except InputError as error:
            notes.append(f"left out of what is said over examples: {error}")
            continue
        scores = None if examples is None else dict(examples.splits).get(split)  # type: ignore[call-overload]
        if scores is not None and scores.name == BITS:
            numbers = scores.values.tolist()
            found[names[run.folder], str(run.result["seed"])] = {str(i): value for i, value in enumerate(numbers)}
    return found, notes


def _recipes(runs: Sequence[_Run], names: Mapping[Path, str]) -> list[str]:
    """In which settings of training and data rows differ, a line for all."""
    by_row: dict[str, dict[str, Any]] = {}
    for run in runs:
        if names[run.folder] not in by_row:
            config = read_run(run.folder).config.model_dump(mode="json")
            by_row[names[run.folder]] = flat({key: config[key] for key in ("train", "data")})
    keys = dict.fromkeys(key for settings in by_row.values() for key in settings if key not in _OWN)
    differing: list[str] = []
    for key in keys:
        values: dict[str, list[str]] = {}
        for row, settings in by_row.items():
            values.setdefault(str(settings.get(key)), []).append(row)
        if len(values) > 1:
            differing.append(f"{key} " + ", ".join(f"{value} ({', '.join(rows)})" for value, rows in values.items()))
    if not differing:
        return []
    more = len(differing) - MOST_SETTINGS
    shown = "; ".join(differing[:MOST_SETTINGS]) + (f"; {counted(more, 'more setting')}" if more > 0 else "")
    return [f"recipes differ: {shown}"]
