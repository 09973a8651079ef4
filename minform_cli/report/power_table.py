"""The table of `power`: what a number of seeds is good for."""

from __future__ import annotations

from collections.abc import Sequence

from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render
from minform_cli.report.numbers import integer, percent
from minform_cli.report.records import PowerRecord


def power_table(records: Sequence[PowerRecord], fmt: str = "rich", width: int | None = None) -> Output:
    """The curve in one of the formats of `formats.FORMATS`.

    Args:
        records: one a number of seeds.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    first = records[0]
    columns = [Column("seeds", lambda record: integer(record["seeds"]))]
    if first["difference"] is not None:
        columns.append(Column("finds difference %", lambda record: percent(record["finds_difference"])))
    if first["margin"] is not None:
        columns.append(Column("shows not worse %", lambda record: percent(record["shows_not_worse"])))
    columns += [
        Column("interval ±", lambda record: f"{record['half_width']:#.3g}"),
        Column("enough", lambda record: "yes" if record["enough"] else "no", right=False),
    ]
    return render(records, columns, fmt, width)


def power_caption(records: Sequence[PowerRecord], seeds: int | None) -> list[str]:
    """What the columns mean, and the answer.

    Args:
        records: the table's.
        seeds: the least number that is enough; None if there is none that can reasonably be run.
    """
    first = records[0]
    level, chance = f"{100 * first['confidence']:g} %", f"{100 * first['power']:g} %"
    answer = f"{seeds} seeds of each variant are enough" if seeds else "No number that can reasonably be run is enough"
    asked: list[str] = []
    if first["difference"] is not None:
        asked.append(f"to find a difference of {first['difference']:g}")
    if first["margin"] is not None:
        asked.append(f"to show that a variant as good is not worse by more than {first['margin']:g}")
    lines = [f"{answer} {' and '.join(asked)} with a chance of {chance}."]
    if first["difference"] is not None:
        lines.append(f"finds difference: power of the two-sided paired t test at {level}, by the noncentral t.")
    if first["margin"] is not None:
        lines.append(
            f"shows not worse: chance that the {level} interval lies above -{first['margin']:g} where there is no "
            "difference."
        )
    return [
        *lines,
        f"Standard deviation of the paired differences: {first['std']:.4g}; interval: half the width of the {level} "
        "interval of a difference, on average.",
    ]
