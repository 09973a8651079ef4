"""Tables fit the terminal, and no number is ever cropped."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from minform_cli.report.compare_table import compare_table
from minform_cli.report.count_table import count_table
from minform_cli.report.eval_table import eval_table
from minform_cli.report.fit import Column, fit
from minform_cli.report.formats import Output, render
from tests.report.records import NAMES, compare_record, count_record, evaluation_record

EVERY = range(len(NAMES))


def printed(output: object, width: int) -> str:
    """What a console of `width` characters shows."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(output)
    return console.file.getvalue()  # type: ignore[attr-defined]


def tables(scale: int) -> list[tuple[str, Output, list[str]]]:
    """Tables over all variants, and every number that must stand in them."""
    counts = [count_record(i, scale) for i in EVERY]
    compared = [compare_record(i, scale=scale) for i in EVERY]
    numbers = [f"{value:,}" for c in counts for value in (c["parameters"], c["macs"], *c["groups"].values())]
    differences = [f"[{-0.5 * i - 1:+.2f}, {-0.5 * i + 1:+.2f}]" for i in EVERY if i]
    return [
        ("count", count_table(counts), numbers),
        ("compare", compare_table(compared), [f"{c['parameters']:,}" for c in counts] + differences),
    ]


@pytest.mark.parametrize("scale", [1, 900, 100_000])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_tables_of_every_variant_keep_every_number_whole_within_the_width(scale: int, width: int) -> None:
    for name, table, numbers in tables(scale):
        text = printed(table, width)
        assert max(map(len, text.splitlines())) <= width, name
        assert "…" not in text
        for number in numbers:
            assert re.search(rf"(?<![\d,]){re.escape(number)}(?![\d,])", text), f"{name}: {number} is missing"


def test_eighty_columns_keep_long_names_readable_by_breaking_them_at_their_joints() -> None:
    text = printed(compare_table([compare_record(i) for i in EVERY]), 80)
    lines = [line.split(" ")[0] for line in text.splitlines()]
    at = lines.index("+collapsed")
    assert lines[at - 1 : at + 2] == ["no-mlp", "+collapsed", "-qk"]


def test_the_default_comparison_is_one_table_in_eighty_columns() -> None:
    text = printed(compare_table([compare_record(i) for i in range(5)]), 80)
    assert text.count("variant") == 1


def test_a_wide_terminal_breaks_no_name() -> None:
    text = printed(count_table([count_record(i) for i in EVERY]), 200)
    assert len(text.splitlines()) == 2 + len(NAMES)
    assert all(any(line.startswith(name + " ") for line in text.splitlines()) for name in NAMES)


@pytest.mark.parametrize("width", [1, 10, 30])
def test_a_tiny_terminal_gets_a_few_columns_at_a_time(width: int) -> None:
    grids = fit([count_record(0)], [Column("variant", lambda r: r["variant"], name=True), *_numbers()], width, gap=1)
    assert grids[0].headers[1] == "a"
    assert sorted(h for grid in grids for h in grid.headers[1:]) == ["a", "b", "c"]
    assert printed(count_table([count_record(0)]), width)


def _numbers() -> list[Column]:
    return [Column(letter, lambda r: f"{r['parameters']:,}") for letter in "abc"]


def test_plain_text_keeps_to_a_width_if_given_one() -> None:
    records = [count_record(i, 900) for i in EVERY]
    wide, narrow = count_table(records, "plain"), count_table(records, "plain", width=80)
    assert isinstance(wide, str) and isinstance(narrow, str)
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))


def test_a_confusion_matrix_of_ten_classes_fits_eighty_columns() -> None:
    text = printed(eval_table(evaluation_record(10)), 80)
    assert max(map(len, text.splitlines())) <= 80
    matrix = text[text.index("true .. predicted".replace("..", "\\")) :].splitlines()[2:]
    assert [row.split()[1:].count("9") for row in matrix] == [1] * 10


def test_names_cannot_steer_the_terminal() -> None:
    record = count_record(0)
    record["variant"] = "evil\x1b[31m[bold]\n|&%"
    columns = [Column("variant", lambda r: r["variant"], right=False, name=True)]
    for fmt in ("rich", "plain", "markdown", "latex"):
        output = render([record], columns, fmt)
        text = output if isinstance(output, str) else printed(output, 80)
        assert "\x1b" not in text
        assert "[bold]" in text
