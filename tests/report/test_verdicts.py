"""The comparison's table says what was concluded, and nothing where nothing was asked."""

from __future__ import annotations

from minform_cli.report.compare_table import compare_caption, compare_table
from minform_cli.report.numbers import p_value
from tests.report.records import compare_record, result_record


def test_p_values_stand_in_the_table_only_where_there_are_any() -> None:
    assert "p (Holm)" in str(compare_table([compare_record(0), compare_record(1)], "markdown"))
    assert "p (Holm)" not in str(compare_table([compare_record(0, 1), compare_record(1, 1)], "markdown"))


def test_verdicts_stand_in_the_table_only_where_a_margin_was_given() -> None:
    records = [compare_record(0), compare_record(1)]
    assert "not worse" not in str(compare_table(records, "markdown"))
    for record in records:
        record["margin"] = 0.005
    records[1]["not_worse"], records[1]["seeds_needed"] = "undecided", 12
    assert "| undecided" in str(compare_table(records, "markdown"))
    caption = "\n".join(compare_caption(records, [result_record()]))
    assert "more than 0.5 points" in caption
    assert "no-mlp: undecided; about 12 seeds in all would decide it" in caption
    records[1]["seeds_needed"] = None
    assert "more seeds than can reasonably be run" in "\n".join(compare_caption(records, [result_record()]))


def test_small_p_values_are_not_rounded_to_nothing() -> None:
    assert [p_value(v) for v in (None, 0.0004, 0.0123, 1.0)] == ["-", "<0.001", "0.012", "1.000"]
