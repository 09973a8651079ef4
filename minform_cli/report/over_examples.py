"""How differences over seeds and examples read, and what varies in each interval: said here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from minform_cli.report.fit import Column, printable
from minform_cli.report.grid import row_name
from minform_cli.report.numbers import ABSENT, integer, p_value, points
from minform_cli.report.records import Compared, OverExamplesRecord
from minform_cli.report.score import ScoreFormat

OVER_SEEDS = "the seed is drawn anew, the examples stay"
"""What varies in the t interval of a difference and in its bootstrap interval."""

OVER_EXAMPLES = "the examples are drawn anew, the seeds stay"
"""What varies in the binomial interval of an accuracy."""

OVER_BOTH = "seeds and examples are drawn anew, paired by both; never narrower than over seeds alone"
"""What varies in the two-way interval."""

OVER_EXAMPLES_OF_ONE_SEED = "the examples are drawn anew, the two models stay: nothing is said of other seeds"
"""What varies in the interval of a difference of two single runs."""

SHARES = ("right", "share of tokens right", "chrF2")
"""Scores of examples that are fractions."""

BITS_OF = {"accuracy": "right"}
"""Metrics that are means over examples -> the score of each."""

MOST = 12
"""Lines about single rows; `json` always has all of them."""


def both_column(records: Sequence[Compared], score: ScoreFormat) -> list[Column]:
    """The column of the two-way intervals, where any row has one of the score that the table compares."""
    if not any(_comparable(record) for record in records):
        return []
    return [Column("over examples too", lambda record: both_interval(record, score), block=1, in_narrow=True)]


def both_interval(record: Compared, score: ScoreFormat) -> str:
    """The cell of that column: the interval of the row."""
    return _interval(_comparable(record), score)


def over_examples_lines(records: Sequence[Compared], reference: str) -> list[str]:
    """What the column means, what it says of the test split, and what is known of two single runs.

    Args:
        records: the table's.
        reference: what differences refer to, in a sentence.
    """
    score = ScoreFormat.of(records)
    lines = _meaning(records, score, reference)
    told = [line for record in records for line in _of_row(record, score, reference)]
    more = len(told) - MOST
    return [*lines, *told[:MOST], *([f"{more} more lines: --format json has them"] if more > 0 else [])]


def _meaning(records: Sequence[Compared], score: ScoreFormat, reference: str) -> list[str]:
    found = [each for record in records if (each := _comparable(record)) is not None]
    if not found:
        return []
    level, examples = f"{100 * records[0]['confidence']:g} %", integer(found[0]["num_examples"])
    single = all(each["num_seeds"] == 1 for each in found)
    what = OVER_EXAMPLES_OF_ONE_SEED if single else OVER_BOTH
    judged = [
        f"{row_name(record)} {each['not_worse']}"
        for record in records
        if (each := _comparable(record)) is not None and each["not_worse"] is not None
    ]
    verdicts = f" Not worse than {reference} by that interval: {'; '.join(judged)}." if judged else ""
    unit = f" in {score.unit}"
    where = "over examples too (after & where room is short)"
    return [f"{where}: {level} interval of the difference{unit} on {examples} examples: {what}.{verdicts}"]


def _of_row(record: Compared, score: ScoreFormat, reference: str) -> list[str]:
    lines: list[str] = []
    for split, each in record["over_examples"].items():
        where = {"val": "validation", "test": "test"}.get(split, "")
        if split == "test" or not _is_the_score(record, each):
            lines.append(_difference_line(record, each, score, where))
        if each["p_mcnemar"] is not None:
            lines.append(
                f"{row_name(record)}: {integer(each['only_own'] or 0)} of {integer(each['num_examples'])} {where} "
                f"examples are right here and wrong with {reference}, {integer(each['only_reference'] or 0)} the other "
                f"way round; McNemar's exact test p {p_value(each['p_mcnemar'])} ({OVER_EXAMPLES_OF_ONE_SEED})."
            )
    return [line.replace("  ", " ") for line in lines]


def _difference_line(record: Compared, each: OverExamplesRecord, score: ScoreFormat, where: str) -> str:
    fraction = each["score"] in SHARES
    mean = points(each["difference_mean"]) if fraction else f"{each['difference_mean']:+.4g}"
    what = f"{where} difference" if _is_the_score(record, each) else f"{where} difference of each example's"
    named = "" if _is_the_score(record, each) else f" {printable(each['score'])}"
    unit = " points" if fraction else ""
    over = "examples (one seed)" if each["num_seeds"] == 1 else f"{each['num_seeds']} seeds and"
    over = over if each["num_seeds"] == 1 else f"{over} {integer(each['num_examples'])} examples"
    verdict = "" if each["not_worse"] is None else f"; not worse: {each['not_worse']}"
    return f"{row_name(record)}: {what}{named} {mean}{unit} {_interval(each, score)} over {over}{verdict}."


def _comparable(record: Compared) -> OverExamplesRecord | None:
    """That of the split which the table compares, where its examples have the score that the table compares."""
    each = record["over_examples"].get("val") or record["over_examples"].get("table")
    return each if each is not None and _is_the_score(record, each) else None


def _is_the_score(record: Compared, each: OverExamplesRecord) -> bool:
    return each["score"] == (record["metric"] if record["kind"] == "table" else BITS_OF.get(record["metric"]))


def _interval(each: OverExamplesRecord | None, score: ScoreFormat) -> str:
    if each is None or each["low"] is None or each["high"] is None:
        return ABSENT
    if each["score"] in SHARES:
        return f"[{points(each['low'])}, {points(each['high'])}]"
    if each["score"] == "squared error":
        return f"[{each['low']:+.4g}, {each['high']:+.4g}]"
    return f"[{score.difference(each['low'])}, {score.difference(each['high'])}]"
