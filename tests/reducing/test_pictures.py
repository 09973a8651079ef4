"""Pictures of a reduction: titles and names fit in them, a layer without an error breaks the line."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import pytest

import minform_cli
from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.records import ReduceRecord
from minform_cli.report.fit import shortened
from minform_cli.report.reduce_plot import curve_figure, layers_figure

LONG = "hf:/" + "/".join(f"folder-{number}" for number in range(30))


@pytest.fixture(scope="module")
def records(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> list[ReduceRecord]:
    """Of three budgets, two of them near each other; the name of the preset is long."""
    out = tmp_path_factory.mktemp("pictures") / "out"
    found = minform_cli.reduce(digits, out, ReduceOptions(budgets=["80%", "50%", "48%"], threads=1))
    return [{**record, "preset": LONG} for record in found]


def test_a_name_is_shortened_in_its_middle_and_only_where_it_is_long() -> None:
    assert shortened("mnist", 5) == "mnist"
    assert shortened("a\nb", 9) == "a\\nb"
    short = shortened(LONG, 36)
    assert len(short) == 36
    assert short.startswith("hf:/") and short.endswith("folder-29") and "..." in short


def test_titles_fit_and_names_of_near_points_do_not_lie_on_each_other(records: list[ReduceRecord]) -> None:
    curve, layers = curve_figure(records), layers_figure(records[0])
    for figure, titles in ((curve, [curve.axes[0].title]), (layers, layers.texts)):
        figure.canvas.draw()
        for title in titles:
            extent = title.get_window_extent()
            assert extent.x0 >= 0 and extent.x1 <= figure.bbox.width, title.get_text()
    boxes = [text.get_window_extent() for text in curve.axes[0].texts if text.get_text()]
    assert len(boxes) >= 4
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_where_a_layer_has_no_error_the_line_is_broken(records: list[ReduceRecord]) -> None:
    record = records[1]
    first, *rest = record["layers"]
    gone: ReduceRecord = {**record, "layers": [{**first, "errors": dict.fromkeys(first["errors"])}, *rest]}
    lines = layers_figure(gone).axes[1].lines
    assert lines
    for line in lines:
        values = [float(value) for value in line.get_ydata()]  # type: ignore[union-attr]
        assert len(values) == len(record["layers"])
        assert math.isnan(values[0]) and not all(map(math.isnan, values))
