"""From the results of runs to one record a variant: means, spreads, and differences paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minform_cli.config.presets import BASELINE
from minform_cli.counting.records import CountRecord, row_key
from minform_cli.errors import unknown_name
from minform_cli.report.intervals import wilson
from minform_cli.report.records import CompareRecord
from minform_cli.runs.records import ResultRecord
from minform_cli.study.differences import correct, difference_record
from minform_cli.study.over_examples import Examples, over_examples
from minform_cli.study.plan import Plan
from minform_cli.study.statistics import estimate

NEARLY = 0.95
"""Share of the best final score that says a variant has learned: as arXiv 2406.06366 compares speeds."""

_INTERVALS = ("reference", "difference_mean", "difference_low", "difference_high", "bootstrap_low", "bootstrap_high")
"""What stands before the times in the files of a study, whose columns keep their order from version to version."""


def count_plan(plan: Plan) -> list[CountRecord]:
    """The counts of the plan's variants, at each grid point, in its order.

    Shares refer to the baseline at the same point, trained or not.
    """
    from minform_cli.counting.count import count_config

    counts: list[CountRecord] = []
    for run in plan.runs:
        if run.config.seed == plan.seeds[0]:
            counts.append(count_config(run.config, run.source.spec))
            counts[-1]["grid"] = run.grid
    return counts


def summarise(
    counts: Sequence[CountRecord],
    results: Sequence[ResultRecord],
    margin: float | None = None,
    reference: str = BASELINE,
    examples: Examples | None = None,
) -> list[CompareRecord]:
    """One record a variant and grid point.

    Args:
        counts: of the variants to report, in their order.
        results: of all runs; each count has one at least. The difference to the reference is taken over the seeds
            that both have at the same grid point, and its p values are corrected for the number of rows.
        margin: how much less accuracy is acceptable, as a fraction; None asks for no verdict.
        reference: the variant that differences and verdicts refer to.
        examples: what any of the runs say of their examples.

    Raises:
        InputError: `reference` is none of the variants. (Without a baseline there are no differences.)
    """
    names = list(dict.fromkeys(count["variant"] for count in counts))
    if reference not in (BASELINE, *names):
        raise unknown_name("variant", reference, names, "--against")
    runs = {_row(count): [result for result in results if _row(result) == _row(count)] for count in counts}
    records = [
        _record(count, runs[_row(count)], runs.get(_row(count, reference), []), margin, reference) for count in counts
    ]
    for record in records:
        best = max(other["val_score_mean"] for other in records if other.get("grid") == record.get("grid"))
        record["steps_to_95"] = _steps_to(NEARLY * best, runs[_row(record)])
        if examples and record["variant"] != reference:
            others = runs.get(_row(record, reference), [])
            record["over_examples"] = over_examples(runs[_row(record)], others, examples, margin)
    correct(records)
    return records


def _row(record: CountRecord | ResultRecord, variant: str | None = None) -> tuple[str, str]:
    """What decides which row of the table a record belongs to; `variant` looks for another one's at its grid point."""
    return row_key(variant or record["variant"], record.get("grid", {}))


def _record(
    count: CountRecord,
    runs: Sequence[ResultRecord],
    others: Sequence[ResultRecord],
    margin: float | None,
    reference: str,
) -> CompareRecord:
    metric = runs[0]["metric"]
    score = estimate(_metric(runs, f"val_{metric}"))
    tested = _metric(runs, f"test_{metric}")
    test = estimate(tested) if tested else None
    train_loss = estimate(_metric(runs, "train_loss"))
    val_loss = estimate(_metric(runs, "val_loss"))
    pairs = None if count["variant"] == reference else _pairs(runs, others)
    val_interval = _binomial(runs[0], score.mean, "num_val")
    test_interval = _binomial(runs[0], test.mean if test else None, "num_test")
    difference: dict[str, Any] = {**difference_record(pairs, reference, margin)}
    intervals = {key: difference.pop(key) for key in _INTERVALS}
    confidence: float = difference.pop("confidence")
    return CompareRecord(
        **count,
        metric=metric,
        num_seeds=len(runs),
        val_score_mean=score.mean,
        val_score_std=score.std,
        val_score_low=val_interval[0],
        val_score_high=val_interval[1],
        test_score_mean=test.mean if test else None,
        test_score_std=test.std if test else None,
        test_score_low=test_interval[0],
        test_score_high=test_interval[1],
        train_loss_mean=train_loss.mean,
        train_loss_std=train_loss.std,
        val_loss_mean=val_loss.mean,
        val_loss_std=val_loss.std,
        **intervals,
        seconds_per_epoch_mean=estimate([run["timing"]["seconds_per_epoch"] for run in runs]).mean,
        predicted_per_s_mean=_mean([run["timing"].get("predicted_per_s") for run in runs]),
        **difference,
        kind=runs[0]["data"]["kind"],
        steps_to_95=None,
        confidence=confidence,
        over_examples={},
    )


def _steps_to(score: float, runs: Sequence[ResultRecord]) -> float | None:
    """Steps after which the validation score first was `score`, mean over the runs; None unless all got there."""
    reached = [next((step for step, value in run["curve"] if value >= score), None) for run in runs]
    found = [step for step in reached if step is not None]
    return sum(found) / len(found) if len(found) == len(reached) else None


def _binomial(run: ResultRecord, mean: float | None, size: str) -> tuple[float | None, float | None]:
    """The binomial interval of a mean accuracy; nothing of another metric, or of tokens, which are not independent."""
    if mean is None or run["metric"] != "accuracy" or not run["data"]["num_classes"]:
        return None, None
    return wilson(mean, run["data"][size])


def _pairs(runs: Sequence[ResultRecord], others: Sequence[ResultRecord]) -> tuple[list[float], list[float]] | None:
    """Validation scores of `runs` and of `others`, by seed, over the seeds of both; None without any."""
    seeds = sorted({run["seed"] for run in runs} & {run["seed"] for run in others})
    if not seeds:
        return None
    own = sorted((run for run in runs if run["seed"] in seeds), key=lambda run: run["seed"])
    theirs = sorted((run for run in others if run["seed"] in seeds), key=lambda run: run["seed"])
    name = f"val_{runs[0]['metric']}"
    return _metric(own, name), _metric(theirs, name)


def _mean(numbers: Sequence[float | None]) -> float | None:
    """None where a run, of an earlier version, does not say it."""
    known = [number for number in numbers if number is not None]
    return estimate(known).mean if len(known) == len(numbers) else None


def _metric(runs: Sequence[ResultRecord], name: str) -> list[float]:
    """The metric of every run that has it."""
    return [value for run in runs if (value := run["metrics"][name]) is not None]
