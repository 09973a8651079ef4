"""How many seeds decide a question: the power of the paired t test, and of the verdict `not_worse`.

Both follow exactly from the noncentral t distribution, given the deviation of the paired differences, which is guessed,
or estimated from runs and then uncertain itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from minform_cli.counting.records import row_key, row_label
from minform_cli.errors import InputError, unknown_name
from minform_cli.report.records import PowerRecord
from minform_cli.runs.records import ResultRecord
from minform_cli.study.options import PowerOptions, TableOptions
from minform_cli.study.verdicts import MAX_SEEDS

_FLAT = 1e-12
"""Differences that deviate less than that, relative to a score of 1, are equal but for rounding."""

_MOST_LINES = 20

_CERTAIN = 1e4
"""Noncentralities above that are cut: scipy cannot compute all of them, and the chance is 1 by then."""


@dataclass(frozen=True)
class Spread:
    """How much the paired differences of one variant, or of several, deviate.

    Attributes:
        name: of the variant.
        std: sample standard deviation.
        freedom: degrees of freedom behind it; None where it was given.
    """

    name: str
    std: float
    freedom: int | None = None

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Ends of the interval of the deviation, by the chi-squared distribution; None where it was given."""
        if self.freedom is None:
            return None
        low, high = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], self.freedom)
        return self.std * math.sqrt(self.freedom / low), self.std * math.sqrt(self.freedom / high)


@dataclass(frozen=True)
class Power:
    """What was found.

    Attributes:
        records: the curve, one a number of seeds.
        seeds: the least number that is enough; None if that is more than `MAX_SEEDS`.
        spread: what the curve is drawn for.
        each: where runs say it, that of each variant, with the least and the greatest number of seeds at the ends of
            its interval, and that at the estimate itself.
    """

    records: list[PowerRecord]
    seeds: int | None
    spread: Spread
    each: list[tuple[Spread, int | None, int | None, int | None]]


def finds_difference(seeds: ArrayLike, difference: float, std: float, confidence: float) -> NDArray[np.float64]:
    """The chance that the two-sided paired t test finds a true `difference`, for each number of `seeds` (2 or more)."""
    number = np.asarray(seeds, dtype=float)
    critical = stats.t.ppf((1 + confidence) / 2, number - 1)
    shift = np.minimum(abs(difference) * np.sqrt(number) / std, _CERTAIN)
    # Below -critical lies what is found with the wrong sign.
    return 1 - _below(critical, number - 1, shift) + _below(-critical, number - 1, shift)


def shows_not_worse(seeds: ArrayLike, margin: float, std: float, confidence: float) -> NDArray[np.float64]:
    """The chance that the interval of a true difference of 0 lies above -`margin`, for each number of `seeds`."""
    number = np.asarray(seeds, dtype=float)
    critical = stats.t.ppf((1 + confidence) / 2, number - 1)
    shift = np.minimum(margin * np.sqrt(number) / std, _CERTAIN)
    return 1 - _below(critical, number - 1, shift)


def _below(value: NDArray[np.float64], freedom: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(T < value) of the noncentral t distribution; scipy says NaN where that is 0 but for the 16th decimal."""
    return np.nan_to_num(special.nctdtr(freedom, shift, value), nan=0.0)


def find_power(options: PowerOptions) -> Power:
    """The curve, and the least number of seeds that is enough.

    Raises:
        InputError: the study is none, has too few pairs, or its differences are all equal.
    """
    if options.std is not None:
        correlation = options.paired_correlation or 0.0
        spread, each = Spread("", options.std * math.sqrt(2 * (1 - correlation))), []
    else:
        found = _differences(options) if options.table is None else _table_differences(options.table)
        where = f"--from {options.study}" if options.table is None else f"--table {options.table.source}"
        spreads = spreads_of(found, where)
        spread = pooled(spreads)
        each = [(one, *_needed_between(one, options)) for one in spreads]
    needed = _needed(spread.std, options)
    return Power(_curve(spread.std, needed, options), needed, spread, each)


def spreads_of(differences: Mapping[str, Sequence[float]], where: str) -> list[Spread]:
    """The deviation of each variant's paired differences, where there are two or more that differ.

    Raises:
        InputError: of no variant; `where` says in what.
    """
    found = [
        Spread(name, float(np.std(values, ddof=1)), len(values) - 1)
        for name, values in differences.items()
        if len(values) > 1 and np.ptp(values) > _FLAT * max(1.0, float(np.max(np.abs(values))))
    ]
    if not found:
        raise InputError(
            f"{where}: no variant shares two seeds with the reference, with differences that differ: nothing says how "
            "much seeds differ; accepted: --std"
        )
    return found


def pooled(spreads: Sequence[Spread]) -> Spread:
    """One deviation for all: the root of the mean variance, each weighted by its degrees of freedom."""
    freedom = sum(one.freedom or 0 for one in spreads)
    variance = sum((one.freedom or 0) * one.std**2 for one in spreads) / freedom
    return Spread(spreads[0].name if len(spreads) == 1 else "all variants together", math.sqrt(variance), freedom)


def _differences(options: PowerOptions) -> dict[str, list[float]]:
    """Of each row of the study to the reference, in points."""
    from minform_cli.study.stored import read_study_folder

    stored = read_study_folder(Path(options.study or ""))
    rows: dict[tuple[str, str], dict[int, ResultRecord]] = {}
    for result in stored.results:
        rows.setdefault(row_key(result["variant"], result.get("grid", {})), {})[result["seed"]] = result
    names = list(dict.fromkeys(variant for variant, _ in rows))
    if options.reference not in names:
        raise unknown_name("variant", options.reference, names, "--against")
    found: dict[str, list[float]] = {}
    for (variant, point), runs in rows.items():
        others = rows.get((options.reference, point), {})
        if variant != options.reference:
            label = row_label(variant, next(iter(runs.values())).get("grid", {}))
            found[label] = [100 * (_score(runs[seed]) - _score(others[seed])) for seed in sorted({*runs} & {*others})]
    return found


def _table_differences(options: TableOptions) -> dict[str, list[float]]:
    """Of each variant to the reference, in points where scores are shares, else in their own unit."""
    from minform_cli.study.table_comparison import read_table
    from minform_cli.study.table_summary import paired

    table = read_table(options if options.better else replace(options, better="higher"))  # no direction matters
    if not table.paired:
        raise InputError(
            f"--table {options.source}: without seeds nothing pairs its runs; accepted: --std, of which two runs' "
            "difference has the square root of two times as much"
        )
    variants = table.by_variant()
    if options.reference not in variants:
        raise unknown_name("variant", options.reference, variants, "--against")
    scale = 100 if table.unit == "%" else 1
    found: dict[str, list[float]] = {}
    for variant, runs in variants.items():
        if variant != options.reference:
            own, others = paired(runs, variants[options.reference])
            found[variant] = [scale * (one - other) for one, other in zip(own, others, strict=True)]
    return found


def _score(result: ResultRecord) -> float:
    return float(result["metrics"][f"val_{result['metric']}"] or 0.0)


def _chances(
    seeds: ArrayLike, std: float, options: PowerOptions
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Of finding the difference, and of showing that there is none worse than the margin."""
    difference, margin, confidence = options.difference, options.margin, options.confidence
    return (
        None if difference is None else finds_difference(seeds, difference, std, confidence),
        None if margin is None else shows_not_worse(seeds, margin, std, confidence),
    )


def _enough(seeds: NDArray[np.int_], std: float, options: PowerOptions) -> NDArray[np.bool_]:
    enough = np.ones(len(seeds), dtype=bool)
    for chances in _chances(seeds, std, options):
        enough &= True if chances is None else chances >= options.power
    return enough


def _needed(std: float, options: PowerOptions) -> int | None:
    seeds = np.arange(2, MAX_SEEDS + 1)
    enough = _enough(seeds, std, options)
    return int(seeds[enough.argmax()]) if enough.any() else None


def _needed_between(spread: Spread, options: PowerOptions) -> tuple[int | None, int | None, int | None]:
    """At the lower end of the deviation's interval, at the estimate, at the upper end."""
    low, high = spread.interval(options.confidence) or (spread.std, spread.std)
    return _needed(low, options), _needed(spread.std, options), _needed(high, options)


def _curve(std: float, needed: int | None, options: PowerOptions) -> list[PowerRecord]:
    seeds = _shown(needed)
    finds, shows = _chances(seeds, std, options)
    # The mean of a sample's deviation is less than the deviation, by a factor that follows from the gamma function.
    freedom = seeds - 1.0
    shrunk = np.sqrt(2 / freedom) * np.exp(special.gammaln((freedom + 1) / 2) - special.gammaln(freedom / 2))
    half = stats.t.ppf((1 + options.confidence) / 2, freedom) * shrunk * std / np.sqrt(seeds)
    return [
        PowerRecord(
            seeds=int(number),
            std=std,
            half_width=float(half[i]),
            difference=options.difference,
            finds_difference=None if finds is None else float(finds[i]),
            margin=options.margin,
            shows_not_worse=None if shows is None else float(shows[i]),
            power=options.power,
            confidence=options.confidence,
            enough=bool(enough),
        )
        for i, (number, enough) in enumerate(zip(seeds, _enough(seeds, std, options), strict=True))
    ]


def _shown(needed: int | None) -> NDArray[np.int_]:
    """The numbers of seeds that the curve is told at: few to twice what is enough, and that itself."""
    last = MAX_SEEDS if needed is None else max(10, min(2 * needed, MAX_SEEDS))
    apart = np.unique(np.rint(np.geomspace(2, last, _MOST_LINES)).astype(int))
    return np.union1d(apart, [needed] if needed else [])
