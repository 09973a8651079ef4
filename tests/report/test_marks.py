"""What pictures say: a corner of the line for every epoch that is told, the names of rows, and no harm by them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from minform_cli.report.curves import learning_figures
from minform_cli.report.marks import Mark, curve_points, marks_of, point_says
from minform_cli.report.plots import compare_figure, plot_compare
from minform_cli.report.score import ScoreFormat
from minform_cli.report.svg import inline_svg
from tests.report.pages import report
from tests.report.records import compare_record


@pytest.mark.parametrize("num", [2, 9])
def test_a_long_curve_with_a_gap_has_a_corner_for_every_epoch_that_it_tells(num: int) -> None:
    made = report(num, 1)
    for run in made.details["runs"]:
        assert run["curve"]
        values = [2.0 + 0.1 * (i // 100) for i in range(300)]
        values[40] = math.nan
        run["curve"].update(epoch=list(range(1, 301)), train_loss=values, val_score=[0.5] * 300)
    figures = learning_figures(made.records, made.details["runs"])
    for i, figure in enumerate(figures.values()):
        text = inline_svg(figure, f"curves{i}", "")
        found = re.findall(r'data-points="([^"]*)"><title>[^<]*</title>\s*<path d="([^"]*)"', text)
        assert len(found) == num * (2 if num == 2 else 1)
        for points, path in found:
            assert len(points.split("|")) == len(re.findall("[ML] ", path)) >= 299
            assert "epoch 41:" not in points or "50.00" in points


def test_every_row_has_its_point_its_error_bar_and_its_name() -> None:
    records = [compare_record(i) for i in range(5)]
    marks = marks_of(compare_figure(records))
    for i, record in enumerate(records):
        parts = {name.split("-")[0] for name, mark in marks.items() if mark.row == record["variant"]}
        assert parts == {"point", "error", "name"} | ({"key", "legend"} if i == 0 else set())


def test_a_point_says_what_is_known_of_it() -> None:
    score = ScoreFormat.of([compare_record(1)])
    assert point_says(compare_record(1), "seconds", score).splitlines() == [
        "1.23 s of training per epoch",
        "validation accuracy in %: 97.00 ± 0.42 (3)",
        "difference in points: -0.50 [-1.50, +0.50]",
    ]
    alone = point_says(compare_record(1, 1), "parameters", score).splitlines()
    assert alone[1:] == ["validation accuracy in %: 97.00 (1)", "difference in points: -0.50"]
    assert len(point_says(compare_record(0, 1), "parameters", score).splitlines()) == 2


def test_a_range_is_told_where_seeds_differ() -> None:
    told = curve_points([1, 2, 3], [0.5, math.inf, 2.0], [0.5, 1.0, 1.5], [0.5, math.inf, 2.5], 2)
    assert told == ["epoch 1: 0.50", "epoch 3: 2.00 (1.50 to 2.50)"]


def test_a_name_cannot_leave_its_attribute() -> None:
    opening = Mark("point-0", '"><script>&\x1b', "<b>", ["a|b"]).opening("p")
    assert opening.count("<") == 3  # the group, the title and its end
    assert "&quot;&gt;&lt;script&gt;&amp;\\x1b" in opening and "<b>" not in opening


def test_a_picture_in_a_file_has_plain_identifiers(tmp_path: Path) -> None:
    plot_compare([compare_record(i) for i in range(3)], tmp_path / "a.svg")
    found = re.findall(r'id="([^"]*)"', (tmp_path / "a.svg").read_text())
    assert "point-2" in found and len(found) == len(set(found))
    assert "data-row" not in (tmp_path / "a.svg").read_text()
