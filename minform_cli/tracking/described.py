"""Runs and studies of ours as trackers are told of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minform_cli.config.schema import RunConfig
from minform_cli.counting.records import CountRecord, grid_name, row_key, row_label
from minform_cli.files import RunFolder
from minform_cli.runs.records import read_result
from minform_cli.tracking.tracked import Point, Table, TrackedRun, TrackedStudy

if TYPE_CHECKING:
    from minform_cli.report.records import CompareRecord
    from minform_cli.study.plan import Plan
    from minform_cli.training.prepare import Prepared


def tracked_run(run: Prepared, folder: Path) -> TrackedRun:
    """A run by itself."""
    from minform_cli.counting.count import count_config

    count = count_config(run.config, run.spec)
    return TrackedRun(folder, folder.resolve().name, _config(run.config), _counts(count), finished=_finished(folder))


def tracked_runs(plan: Plan) -> list[TrackedRun]:
    """The runs of a study."""
    from minform_cli.study.summary import count_plan

    told = plan.record()
    config = {"preset": told.preset, "variants": told.variants, "seeds": told.seeds, "set": told.set, "grid": told.grid}
    study = TrackedStudy(plan.out, plan.out.resolve().name, config)
    counts = {row_key(count["variant"], count.get("grid", {})): _counts(count) for count in count_plan(plan)}
    return [
        TrackedRun(
            folder=run.folder,
            name=f"{row_label(run.config.variant, run.grid)}-seed{run.config.seed}",
            config={**_config(run.config), **({"grid": run.grid} if run.grid else {})},
            counts=counts[row_key(run.config.variant, run.grid)],
            study=study,
            finished=run.finished,
        )
        for run in plan.runs
    ]


def study_table(records: Sequence[CompareRecord], files: Sequence[Path]) -> Table:
    """The table of a study: of each record what is a number or a text."""
    from minform_cli.report.compare_table import compare_table

    rows = [_flat_record(record) for record in records]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    markdown = str(compare_table(records, "markdown"))
    return Table(columns, [[row.get(key) for key in columns] for row in rows], markdown, files)


def epochs_until(folder: Path, step: int) -> Iterator[Point]:
    """What a run in the folder measured at the end of each epoch up to that step, by its own journals."""
    speeds = {line["epoch"]: line["examples_per_s"] for line in _lines(RunFolder(folder).timings)}
    for line in _lines(RunFolder(folder).metrics):
        if line["step"] <= step:
            metrics = {name: line[name] for name in line if name not in ("epoch", "step", "learning_rate")}
            speed = speeds.get(line["epoch"])
            yield Point(int(line["step"]), metrics if speed is None else {**metrics, "examples_per_s": speed})


def final_point(folder: Path) -> Point:
    """The numbers that a finished run ends with: its best epoch, the test set read once, and times."""
    result = read_result(folder)
    metrics = {
        name: float(value)
        for name, value in {**result["metrics"], **result["timing"]}.items()
        if value is not None and not name.startswith(("train_loss", "train_accuracy", "val_"))
    }
    return Point(result["steps"], metrics)


def _lines(journal: Path) -> Iterator[dict[str, float]]:
    """Its lines, to the first that a killed process left undone."""
    for line in journal.read_text().splitlines() if journal.is_file() else []:
        try:
            yield json.loads(line)
        except ValueError:
            return


def _finished(folder: Path) -> bool:
    return RunFolder(folder).is_finished()


def _config(config: RunConfig) -> dict[str, Any]:
    """Every setting but those of the model that shares refer to."""
    return config.model_dump(mode="json", exclude={"baseline"})


def _counts(count: CountRecord) -> dict[str, float]:
    found = {"parameters": count["parameters"], "share_of_baseline": count["share_of_baseline"]}
    ratio = count["determination_ratio"]
    return found if ratio is None else {**found, "determination_ratio": ratio}


def _flat_record(record: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key, value in record.items():
        if key == "grid":
            row |= {"grid": grid_name(value)} if value else {}
        elif key == "groups":
            row |= {f"{group}_parameters": number for group, number in value.items()}
        elif isinstance(value, str | int | float) or value is None:
            row[key] = value
    return row
