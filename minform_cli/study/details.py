"""What a report shows beyond the results: learning curves, accuracy by class, how each variant attends.

What had to be measured is kept in `details.json` in the study's folder, by the SHA-256 of the weights, so that a
report is drawn again without torch and without the data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from minform_cli.counting.records import row_label
from minform_cli.errors import InputError, counted, unread
from minform_cli.files import RunFolder, read_json, write_json
from minform_cli.report.records import (
    ExampleRecord,
    LearningCurve,
    MeasuredRecord,
    RunDetails,
    ShownExample,
    StudyDetails,
)
from minform_cli.runs.records import ResultRecord

if TYPE_CHECKING:
    from minform_cli.data.source import Source
    from minform_cli.study.losses import Losses
    from minform_cli.study.measure import StudyData

FILE = "details.json"

FORMAT = 1
"""Version of `details.json`; one of another version, or of other data, is measured anew."""


class _Cache(TypedDict):
    """What `details.json` holds; `measured` by the SHA-256 of the weights, `shown` by place in the split."""

    format: int
    fingerprint: str
    class_names: list[str]
    example: ExampleRecord | None
    measured: dict[str, MeasuredRecord]
    shown: dict[str, ShownExample]


def collect(
    folder: Path,
    results: Sequence[tuple[Path, ResultRecord]],
    found: Losses | None = None,
    *,
    device: str = "auto",
    tell: Callable[[str], None],
    source: Source | None = None,
) -> StudyDetails:
    """What a report of the study needs beside its results; measures what nobody has measured yet.

    Args:
        folder: of the study; `details.json` in it is read and written.
        results: folder and result of each finished run, one at least.
        found: what rows lose, whose examples are to be shown; None: nothing is known.
        device: to measure on, as `choose_device` takes it.
        tell: is told what is measured, as it takes a while.
        source: the study's data, where somebody has opened them.

    Raises:
        InputError: the device is not there.
        MachineError: `details.json` cannot be written.
        Interrupted: a signal came; what was measured so far is kept.
    """
    cache = _read_cache(folder / FILE, str(results[0][1]["data"]["fingerprint"]))
    shown = _first_of_each_row([result for _, result in results])
    todo = [
        (path, result, result["weights_sha256"] in shown)
        for path, result in results
        if not _is_known(cache, result, attention=result["weights_sha256"] in shown)
    ]
    if results[0][1]["data"]["kind"] != "images":
        todo = []  # accuracy by class and attention are shown of images alone
    missing = _measure(folder / FILE, cache, todo, source, device, tell) if todo else []
    wanted = [] if found is None else found.indices()
    unseen = [index for index in wanted if str(index) not in cache["shown"]]
    if unseen and not missing:
        missing = _show(folder / FILE, cache, results[0][0], source, unseen)
    return StudyDetails(
        class_names=cache["class_names"],
        example=cache["example"],
        runs=[_details(path, result, cache, missing) for path, result in results],
        missing=missing,
        losses=[] if found is None else found.records,
        agreement=None if found is None else found.agreement,
        shown=cache["shown"],
    )


def _show(path: Path, cache: _Cache, run: Path, source: Source | None, indices: Sequence[int]) -> list[str]:
    """Puts the examples at these places into `cache` and its file; says why they cannot be shown."""
    from minform_cli.study.shown import shown_examples

    try:
        cache["shown"] |= shown_examples(run, source, indices)
    except InputError as error:
        return [f"The examples that rows lose are not shown: {error}"]
    write_json(path, cache)
    return []


def _measure(
    path: Path,
    cache: _Cache,
    todo: Sequence[tuple[Path, ResultRecord, bool]],
    source: Source | None,
    device: str,
    tell: Callable[[str], None],
) -> list[str]:
    """Measures the runs into `cache` and its file, with attention where asked for; says what could not be measured."""
    from minform_cli.training.runtime import choose_device

    choose_device(device)
    tell(f"measuring {_runs(len(todo))} class by class")
    data = _load(todo[0][0], source)
    if isinstance(data, str):
        return [f"Accuracy by class and attention are missing: {data}"]
    cache["class_names"], cache["example"] = data.class_names, data.example()
    failed: dict[str, InputError] = {}
    try:
        for run, result, attention in todo:
            try:
                measured = data.measure(run, attention=attention, device=device)
            except InputError as error:
                failed[_name(result)] = error
            else:
                cache["measured"][result["weights_sha256"]] = measured
    finally:
        cache["measured"] = dict(sorted(cache["measured"].items()))  # whatever was measured first, or failed once
        write_json(path, cache)
    if not failed:
        return []
    return [f"Accuracy by class and attention are missing for {'; '.join(failed)}: {next(iter(failed.values()))}"]


def _load(run: Path, source: Source | None) -> StudyData | str:
    """The study's data, or why there are none."""
    from minform_cli.study.measure import StudyData

    try:
        return StudyData(run, source)
    except InputError as error:
        return str(error)


def _details(path: Path, result: ResultRecord, cache: _Cache, missing: list[str]) -> RunDetails:
    curve: LearningCurve | None = None
    try:
        curve = read_curve(RunFolder(path), result["metric"])
    except InputError as error:
        missing.append(f"The learning curve of {_name(result)} is missing: {error}")
    return RunDetails(
        variant=result["variant"],
        grid=result.get("grid", {}),
        seed=result["seed"],
        curve=curve,
        measured=cache["measured"].get(result["weights_sha256"]),
    )


def read_curve(folder: RunFolder, metric: str) -> LearningCurve:
    """The learning curve of a run.

    Raises:
        InputError: its metrics are missing or damaged.
    """
    epochs = _read_lines(folder.metrics)
    seconds = {line["epoch"]: line.get("train_s") for line in _read_lines(folder.timings)}
    try:
        return LearningCurve(
            epoch=[int(line["epoch"]) for line in epochs],
            train_loss=[float(line["train_loss"]) for line in epochs],
            step=[int(line["step"]) for line in epochs],
            val_loss=[float(line["val_loss"]) for line in epochs],
            val_score=[float(line[f"val_{metric}"]) for line in epochs],
            train_s=[seconds.get(line["epoch"]) for line in epochs],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder.metrics} is damaged: {error!r} in one of its lines") from None


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file with one a line, each with its epoch."""
    try:
        lines: list[Any] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise unread(error, f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not all(isinstance(line, dict) and isinstance(line.get("epoch"), int) for line in lines):
        raise InputError(f"{path} is damaged: expected a JSON object with an epoch in every line")
    return lines


def _read_cache(path: Path, fingerprint: str) -> _Cache:
    """What was measured before; nothing if that was on other data, in another format, or is damaged."""
    try:
        cache = read_json(path, "details")
        known = cache["measured"]
        sound = (cache["format"], cache["fingerprint"]) == (FORMAT, fingerprint) and isinstance(known, dict)
        if sound and isinstance(cache["class_names"], list) and "example" in cache:
            cache.setdefault("shown", {})
            return cast(_Cache, cache)
    except (InputError, KeyError):
        pass  # it is only a cache
    return _Cache(format=FORMAT, fingerprint=fingerprint, class_names=[], example=None, measured={}, shown={})


def _is_known(cache: _Cache, result: ResultRecord, *, attention: bool) -> bool:
    measured = cache["measured"].get(result["weights_sha256"])
    return measured is not None and not (attention and measured["attention"] is None)


def _first_of_each_row(results: Sequence[ResultRecord]) -> set[str]:
    """Weights of the run with the lowest seed of every variant and grid point: attention is shown of these."""
    first: dict[str, ResultRecord] = {}
    for result in sorted(results, key=lambda result: result["seed"]):
        first.setdefault(row_label(result["variant"], result.get("grid", {})), result)
    return {result["weights_sha256"] for result in first.values()}


def _name(result: ResultRecord) -> str:
    return f"{row_label(result['variant'], result.get('grid', {}))}, seed {result['seed']}"


def _runs(num: int) -> str:
    return counted(num, "run")
