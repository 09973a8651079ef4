"""How the score of a comparison reads: fractions in percent and points, any other in its own unit and name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minform_cli.report import numbers
from minform_cli.report.numbers import ABSENT

_DIGITS = 5
"""Significant digits of the largest score, where scores have a unit of their own."""


@dataclass(frozen=True)
class ScoreFormat:
    """The words and numbers of one table's scores.

    Attributes:
        metric: name of the score.
        in_percent: whether scores are fractions.
        of_table: whether they came out of a table, so that the name says all there is to say of them.
        decimals: of a score in a unit of its own.
        lower: whether lower scores are better.
    """

    metric: str
    in_percent: bool = True
    of_table: bool = False
    decimals: int = 2
    lower: bool = False

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> ScoreFormat:
        """That of the records of one table."""
        first = records[0]
        largest = max(abs(record["val_score_mean"]) for record in records)
        digits = _DIGITS - 1 - (math.floor(math.log10(largest)) if largest > 0 else 0)
        return cls(
            metric=first["metric"],
            in_percent=first.get("unit", "%") == "%",
            of_table=first["kind"] == "table",
            decimals=min(max(digits, 0), 8),
            lower=first.get("better") == "lower",
        )

    @property
    def name(self) -> str:
        """Within a sentence: ``validation accuracy``, or as the table calls it."""
        return self.metric if self.of_table else f"validation {numbers.metric_name(self.metric)}"

    @property
    def plain(self) -> str:
        """The metric alone: ``accuracy``."""
        return self.metric if self.of_table else numbers.metric_name(self.metric)

    @property
    def axis(self) -> str:
        """The label of an axis."""
        if self.of_table:
            return f"{self.metric} in %" if self.in_percent else self.metric
        return f"validation {numbers.metric_axis(self.metric)}"

    @property
    def unit(self) -> str:
        """What differences are counted in, after ``in``."""
        if self.of_table:
            return "percentage points" if self.in_percent else f"the unit of {self.metric}"
        return numbers.points_name(self.metric)

    def title(self, short: Mapping[str, str] | None = None) -> str:
        """The head of its column."""
        metric = (short or {}).get(self.metric, self.metric)
        if self.of_table:
            return f"{metric} %" if self.in_percent else metric
        return f"val {numbers.metric_title(metric)}"

    def plotted(self, value: float) -> float:
        """As it stands in a picture."""
        return 100 * value if self.in_percent else value

    def value(self, value: float) -> str:
        """One score."""
        return numbers.percent(value) if self.in_percent else f"{value:,.{self.decimals}f}"

    def with_sign(self, value: float) -> str:
        """One score within a sentence."""
        if self.of_table:
            return f"{self.value(value)} %" if self.in_percent else self.value(value)
        return f"{self.value(value)} %"

    def spread(self, mean: float, std: float | None, num: int) -> str:
        """Mean, sample standard deviation, and how many."""
        if self.in_percent:
            return numbers.percent_spread(mean, std, num)
        return f"{self.value(mean)}{'' if std is None else f' ± {self.value(std)}'} ({num})"

    def difference(self, value: float | None) -> str:
        """A difference with its sign."""
        if value is None:
            return ABSENT
        if self.in_percent:
            return numbers.points(value)
        return f"{0.0 if round(value, self.decimals) == 0 else value:+,.{self.decimals}f}"

    def margin(self, margin: float) -> str:
        """A margin within a sentence: ``0.5 points``, ``1 point``."""
        if self.in_percent:
            return f"{100 * margin:g} point{'' if math.isclose(margin, 0.01) else 's'}"
        return f"{margin:g}"

    @property
    def heading(self) -> str:
        """The head of a column of differences."""
        return "difference in points" if self.in_percent else "difference"
