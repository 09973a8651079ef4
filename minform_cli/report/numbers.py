"""How people read our numbers: exact integers with separators, percent with two decimals, mean and spread."""

from __future__ import annotations

import math

ABSENT = "-"
"""Stands where there is nothing to say."""


def integer(value: int) -> str:
    """An exact integer with thousands separators."""
    return f"{value:,}"


def epochs(value: float) -> str:
    """How often the training examples were seen: ``3``, or ``0.142`` where steps were counted instead."""
    return integer(int(value)) if value == int(value) else f"{value:.3g}"


def percent(fraction: float | None) -> str:
    """A fraction of 0..1 as percent with two decimals, without the sign."""
    return ABSENT if fraction is None else f"{_tidy(100 * fraction, 2):,.2f}"


_WITHOUT_SIGN = {"bleu": "BLEU", "chrf": "chrF2"}
"""Metrics that people read as numbers up to 100, without the sign of percent."""


def metric_name(metric: str) -> str:
    """A metric as people call it: ``accuracy``, ``BLEU``."""
    return _WITHOUT_SIGN.get(metric, metric)


def metric_title(metric: str) -> str:
    """The head of a column of a metric: ``accuracy %``, ``BLEU``."""
    return metric_name(metric) if metric in _WITHOUT_SIGN else f"{metric} %"


def metric_axis(metric: str) -> str:
    """The label of an axis in percent: ``accuracy in %``, ``BLEU``."""
    return metric_name(metric) if metric in _WITHOUT_SIGN else f"{metric} in %"


def with_sign(metric: str, number: str) -> str:
    """A number of that metric within a sentence: ``97.12 %``, or ``31.24`` where BLEU is meant."""
    return number if metric in _WITHOUT_SIGN else f"{number} %"


def perplexity(value: float | None) -> str:
    """exp of a loss in nats, with two decimals; above a million in powers of ten."""
    if value is None:
        return ABSENT
    found = math.exp(min(value, 700))
    return f"{found:,.2f}" if found < 1e6 else f"{found:.2e}"


def points_name(metric: str) -> str:
    """What a difference of that metric is counted in."""
    return "points" if metric in _WITHOUT_SIGN else "percentage points"


def points(difference: float) -> str:
    """A difference of fractions as signed percentage points with two decimals."""
    return f"{_tidy(100 * difference, 2):+.2f}"


def ratio(value: float | None) -> str:
    """A positive ratio: two decimals, or three significant digits below 1."""
    if value is None:
        return ABSENT
    return f"{value:,.2f}" if value >= 1 or value == 0 else f"{value:#.3g}"


def p_value(value: float | None) -> str:
    """A p value with three decimals; small ones as ``<0.001``."""
    if value is None:
        return ABSENT
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def loss(value: float | None) -> str:
    """A loss with four decimals."""
    return ABSENT if value is None else f"{_tidy(value, 4):,.4f}"


def percent_spread(mean: float | None, std: float | None, num: int) -> str:
    """``mean ± std (n)`` in percent; without a spread where one value has none."""
    if mean is None:
        return ABSENT
    spread = "" if std is None else f" ± {percent(std)}"
    return f"{percent(mean)}{spread} ({num})"


def seconds(value: float) -> str:
    """A duration in seconds, three significant digits or whole seconds."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def scaled(value: float, unit: str = "") -> str:
    """A large number with three significant digits and a decimal prefix: ``35.1 G``, ``346 MB``."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:#.3g}".rstrip(".") + f" {prefix}{unit}"
    return f"{value:.0f} {unit}".rstrip()


def duration(value: float) -> str:
    """A duration for people: ``8.41 s``, ``3 min 07 s``, ``2 h 05 min``."""
    if value < 60:
        return f"{seconds(value)} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _tidy(value: float, decimals: int) -> float:
    """`value`, with the minus sign of a rounded zero removed."""
    return 0.0 if round(value, decimals) == 0 else value
