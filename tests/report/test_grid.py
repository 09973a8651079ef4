"""A grid is visible in tables, captions and pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from minform_cli.counting.records import grid_name
from minform_cli.report.compare_table import compare_caption, compare_table
from minform_cli.report.plan_table import plan_caption, plan_table
from minform_cli.report.plots import plot_compare
from minform_cli.report.records import CompareRecord, PlanRecord
from tests.report.records import compare_record, result_record


def swept(i: int, **grid: object) -> CompareRecord:
    return {**compare_record(i), "grid": {f"model.{key}": value for key, value in grid.items()}}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def table(records: list[CompareRecord]) -> list[str]:
    output = compare_table(records, "markdown")
    assert isinstance(output, str)
    return output.splitlines()


def test_swept_settings_are_columns_after_the_variant_and_none_appears_twice() -> None:
    lines = table([swept(0, depth=6, heads=1), swept(0, depth=12, heads=1)])
    assert cells(lines[0])[:4] == ["variant", "depth", "heads", "parameters"]
    assert cells(lines[0]).count("heads") == 1
    assert [cells(line)[1:3] for line in lines[2:]] == [["6", "1"], ["12", "1"]]


def test_rows_of_a_study_that_were_made_without_a_grid_or_with_another_have_their_place() -> None:
    lines = table([compare_record(0), swept(0, depth=6), swept(0, heads=8)])
    assert cells(lines[0])[:4] == ["variant", "depth", "heads", "parameters"]
    own = str(compare_record(0)["heads"])
    assert [cells(line)[1:3] for line in lines[2:]] == [["-", own], ["6", own], ["-", "8"]]


def test_without_a_grid_the_table_is_as_ever() -> None:
    assert table([compare_record(0)]) == table([swept(0)])


def test_values_are_shown_as_they_are_typed() -> None:
    assert grid_name({"train.learning_rate": 1e-5, "model.mlp": "none"}) == "learning_rate=1e-05, mlp=none"
    assert grid_name({"train.clip_norm": None, "model.x": True}) == "clip_norm=null, x=true"


def test_captions_say_what_was_swept_and_name_rows_by_their_point() -> None:
    records = [swept(0, heads=1), swept(1, heads=1), swept(1, heads=4)]
    records[2]["notes"] = ["a note"]
    caption = compare_caption(records, [result_record()])
    assert "Grid: model.heads 1, 4. Shares and differences refer to the baseline at the same grid point." in caption
    assert "no-mlp, heads=4: a note" in caption
    assert not any(line.startswith("Grid") for line in compare_caption([compare_record(0)], [result_record()]))


def test_points_of_a_picture_are_named_by_variant_and_grid_point(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    labels: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minform_cli.report.plots.place_labels", lambda _, *given: labels.extend(given[3]) or [])
        plot_compare([swept(0, heads=1), swept(0, heads=4), compare_record(1)], tmp_path / "a.svg")
    assert labels == ["baseline, heads=1", "baseline, heads=4", "no-mlp"]


def test_the_table_of_a_plan_has_a_line_a_run() -> None:
    states = ("finished", "begun", "to do", "to do")
    records = [
        PlanRecord(
            preset="debug",
            variant="minimal",
            grid={},
            seed=seed,
            parameters=1234,
            state=state,
            seconds=0.0 if state == "finished" else 61.0,
            folder="x",
        )
        for seed, state in enumerate(states)
    ]
    output = plan_table(records, "markdown")
    assert isinstance(output, str)
    assert cells(output.splitlines()[0]) == ["variant", "seed", "parameters", "state", "time left"]
    assert cells(output.splitlines()[2]) == ["minimal", "0", "1,234", "finished", "-"]
    assert cells(output.splitlines()[3]) == ["minimal", "1", "1,234", "begun", "1 min 01 s"]
    counted, time_left = plan_caption(records, 2)
    assert counted == "4 runs: 1 finished, 1 begun, 2 to do. Nothing was written."
    assert time_left.startswith("time left: 3 min 03 s one after another, about 1 min 32 s with 2 side by side")
