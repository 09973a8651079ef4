"""Pictures: valid files of the expected size, the same bytes each time, readable names."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from PIL import Image

from minform_cli.errors import InputError
from minform_cli.report import drawing, plots
from minform_cli.report.plot_labels import Box, place_labels
from minform_cli.report.plots import pareto_front, plot_compare, plot_confusion
from tests.report.records import NAMES, compare_record, evaluation_record


def test_the_pareto_front_is_what_no_other_beats() -> None:
    assert pareto_front([3, 1, 2, 2, 4], [0.9, 0.5, 0.7, 0.8, 0.9]) == [1, 3, 0]
    assert pareto_front([1, 1], [0.5, 0.5]) == [0]


@pytest.mark.parametrize("num", [1, 2, 5, 14])
@pytest.mark.parametrize("num_seeds", [1, 3])
def test_a_comparison_is_a_png_of_1200_by_840_pixels(num: int, num_seeds: int, tmp_path: Path) -> None:
    plot_compare([compare_record(i, num_seeds) for i in range(num)], tmp_path / "a.png", "Digits, seeds 0, 1, 2")
    with Image.open(tmp_path / "a.png") as image:
        image.verify()
        assert image.size == (1200, 840)


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_equal_records_give_equal_bytes(suffix: str, tmp_path: Path) -> None:
    records = [compare_record(i) for i in range(5)]
    for name in ("a", "b"):
        plot_compare(records, tmp_path / f"{name}.{suffix}", "caption")
    data = (tmp_path / f"a.{suffix}").read_bytes()
    assert data == (tmp_path / f"b.{suffix}").read_bytes()
    assert data.startswith({"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[suffix])
    assert not any(word in data for word in (b"CreationDate", b"dc:date", b"Software"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{suffix}", f"b.{suffix}"]


@pytest.mark.parametrize("same", [False, True], ids=["spread", "one spot"])
def test_names_cover_neither_each_other_nor_a_point(same: bool) -> None:
    figure = plots.new_figure(8.0, 5.6)
    axes = figure.add_subplot()
    x = [100.0 if same else 100.0 * (1 + i % 4) + i for i in range(len(NAMES))]
    y = [97.0 if same else 97 - 0.01 * i for i in range(len(NAMES))]
    axes.scatter(x, y)
    axes.margins(0.15)
    figure.canvas.draw()
    figure.set_layout_engine("none")
    place_labels(axes, x, y, [0.0] * len(x), NAMES)
    boxes = [Box(*text.get_window_extent().extents) for text in axes.texts]
    assert sorted(text.get_text() for text in axes.texts) == sorted(NAMES)
    assert all(a.overlap(b) == 0 for a, b in itertools.combinations(boxes, 2))
    for px, py in axes.transData.transform(list(zip(x, y, strict=True))):
        assert all(box.nearest(px, py) != (px, py) for box in boxes)
    frame = axes.get_window_extent()
    assert all(box.left >= frame.x0 and box.right <= frame.x1 for box in boxes)


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_a_confusion_matrix_is_drawn_for_any_number_of_classes(num_classes: int, tmp_path: Path) -> None:
    plot_confusion(evaluation_record(num_classes), tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        image.verify()
        assert min(image.size) >= 700


def test_what_cannot_be_drawn_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [compare_record(0)]
    with pytest.raises(InputError, match=r"unknown suffix '\.gif'; accepted: \.png, \.pdf, \.svg"):
        plot_compare(records, tmp_path / "a.gif")
    with pytest.raises(InputError, match="there is no folder"):
        plot_compare(records, tmp_path / "absent" / "a.png")
    monkeypatch.setattr(drawing.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'minform\[plot\]'"):
        plot_compare(records, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_names_are_drawn_as_they_are_not_as_formulas(tmp_path: Path) -> None:
    record = compare_record(1)
    record["variant"] = record["preset"] = r"$\nonsense{$"
    plot_compare([record], tmp_path / "a.svg", "$\\nonsense{$")
    plot_confusion(evaluation_record(2, ["$\\nonsense{$", "\x1b[31m"]), tmp_path / "b.png")
    assert {path.name for path in tmp_path.iterdir()} == {"a.svg", "b.png"}
