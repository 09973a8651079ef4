"""The table of `compare`: what every variant costs in parameters and in accuracy, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from minform_cli.config.names import BASELINE
from minform_cli.errors import counted
from minform_cli.report import notes
from minform_cli.report.fit import Column, printable
from minform_cli.report.formats import Output, render
from minform_cli.report.grid import grid_lines, row_name, with_grid
from minform_cli.report.numbers import (
    ABSENT,
    epochs,
    integer,
    loss,
    metric_title,
    p_value,
    percent,
    perplexity,
    ratio,
    seconds,
)
from minform_cli.report.over_examples import OVER_EXAMPLES, OVER_SEEDS, both_column, both_interval, over_examples_lines
from minform_cli.report.records import Compared, CompareRecord, TableRecord
from minform_cli.report.score import ScoreFormat
from minform_cli.runs.records import ResultRecord
from minform_cli.tables.records import RunTable


def compare_table(records: Sequence[Compared], fmt: str = "rich", width: int | None = None) -> Output:
    """The comparison in one of the formats of `formats.FORMATS`.

    Args:
        records: one a variant and grid point.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    return render(records, with_grid(_columns(records), records), fmt, width)


def compare_caption(records: Sequence[CompareRecord], results: Sequence[ResultRecord]) -> list[str]:
    """The lines that make a comparison readable on its own.

    Args:
        records: the table's.
        results: of the runs behind them.
    """
    first = results[0]
    return [
        f"Preset {first['preset']}: {study_line(results)}.",
        *grid_lines(records),
        notes.validation(first),
        _spread_line(records),
        *_binomial_lines(records, first),
        *_test_lines(records, first),
        *_bootstrap_lines(records),
        *_margin_lines(records),
        *over_examples_lines(records, reference_name(records)),
        *_steps_lines(records),
        notes.PARAMETERS,
        notes.determination(int(first["data"]["num_train"]), notes.num_outputs(first)),
        _time_line(results),
        *notes.measured_by(first),
        *notes.record_notes(records),
    ]


def table_caption(records: Sequence[TableRecord], table: RunTable) -> list[str]:
    """Likewise of a comparison of runs out of a table.

    Args:
        records: one a variant.
        table: the runs.
    """
    score = ScoreFormat.of(records)
    return [
        f"{table_line(table)}.",
        f"Score: {score.metric}, {table.better} is better{'' if score.in_percent else ', in its own unit'}.",
        _spread_line(records),
        *_bootstrap_lines(records),
        *_margin_lines(records),
        *over_examples_lines(records, reference_name(records)),
        _parameters_line(records),
        *notes.record_notes(records),
        *table.notes,
    ]


def table_line(table: RunTable) -> str:
    """Where the runs of a table come from, for captions."""
    seeds = f", {counted(len({run.seed for run in table.runs}), 'seed')}" if table.paired else ""
    return (
        f"{table.source} ({table.shape}, {table.form}): {counted(len(table.runs), 'run')} of "
        f"{counted(len(table.by_variant()), 'variant')}{seeds}"
    )


def _parameters_line(records: Sequence[TableRecord]) -> str:
    if all(record["parameters"] is None for record in records):
        return "No column says the parameters (--columns parameters=NAME): no shares, no Pareto front."
    whole = next((record["variant"] for record in records if record["variant"] == BASELINE), records[0]["reference"])
    if all(record["share_of_baseline"] is None for record in records):
        return "Parameters: as the table says; no shares, as no variant is called baseline (--against names another)."
    unknown = [printable(record["variant"]) for record in records if record["parameters"] is None]
    without = f"; not known, and in no picture: {', '.join(unknown)}" if unknown else ""
    return f"Parameters: as the table says; share: of those of {printable(whole)}{without}."


def study_line(results: Sequence[ResultRecord]) -> str:
    """Data set, epochs, seeds and validation split of a study, for captions of tables and plots."""
    first = results[0]
    seeds = sorted({result["seed"] for result in results})
    trained = sorted({result["epochs"] for result in results})
    return (
        f"{first['data']['title']}, {counted(int(first['data']['num_train']), 'training example')}, "
        f"{', '.join(map(epochs, trained))} epoch{'' if trained == [1] else 's'}, "
        f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"
        f"{', VALIDATED ON THE TEST SET' if first['data']['validation'] == 'test' else ''}"
    )


def _spread_line(records: Sequence[Compared]) -> str:
    if all(record["num_seeds"] == 1 for record in records):
        return "One seed: nothing can be said about the spread or about the significance of a difference."
    reference = reference_name(records)
    apart = records[0].get("paired") is False
    text = f"mean ± sample standard deviation (number of {'runs' if apart else 'seeds'})"
    if all(record["difference_mean"] is None for record in records):
        how = " (--against names another variant)" if records[0]["kind"] == "table" else ""
        return f"{text}; no differences, as {reference} was not trained or shares no seed{how}."
    level = f"{100 * records[0]['confidence']:g} %"
    whose = "Welch's" if apart else "the paired"
    return (
        f"{text}; difference to {reference} in {ScoreFormat.of(records).unit} with {whose} {level} t interval "
        f"over {'runs that nothing pairs' if apart else 'seeds'} ({OVER_SEEDS}); p of {whose} t test, corrected for "
        "the number of rows (Holm): a large one is no proof of no difference."
    )


def reference_name(records: Sequence[Compared]) -> str:
    """What the differences refer to, in a sentence."""
    name = records[0]["reference"]
    return "the baseline" if name == BASELINE else printable(name)


def _binomial_lines(records: Sequence[CompareRecord], result: ResultRecord) -> list[str]:
    """What the interval of one accuracy means, beside the spread over seeds, where there is one."""
    if records[0]["val_score_low"] is None:
        return []
    level, size = f"{100 * records[0]['confidence']:g} %", integer(int(result["data"]["num_val"]))
    return [
        f"binomial (below the accuracy where room is short): {level} interval (Wilson) of the mean accuracy for {size} "
        f"examples ({OVER_EXAMPLES}), which the spread over seeds does not contain."
    ]


def _test_lines(records: Sequence[CompareRecord], result: ResultRecord) -> list[str]:
    """The scores on the test set, where there is one beside the validation set."""
    tested = [f"{row_name(record)} {_test(record)}" for record in records if record["test_score_mean"] is not None]
    if not tested:
        return []
    size = integer(int(result["data"]["num_test"]))
    binomial = "" if records[0]["test_score_low"] is None else " [binomial interval]"
    title = f"Test {metric_title(records[0]['metric'])}, last weights, {size} examples read once{binomial}"
    return [f"{title}: {'; '.join(tested)}."]


def _bootstrap_lines(records: Sequence[Compared]) -> list[str]:
    """The bootstrap intervals, where there are seeds enough for one."""
    score = ScoreFormat.of(records)
    return [
        f"{row_name(record)}: bootstrap (BCa) interval of the difference "
        f"[{score.difference(record['bootstrap_low'])}, {score.difference(record['bootstrap_high'])}]."
        for record in records
        if record["bootstrap_low"] is not None and record["bootstrap_high"] is not None
    ]


def _margin_lines(records: Sequence[Compared]) -> list[str]:
    """What "not worse" means, and how many seeds would decide what is undecided."""
    asked = [record for record in records if record["margin"] is not None]
    if not asked:
        return []
    lines = [
        f"Not worse: than {reference_name(records)} by more than "
        f"{ScoreFormat.of(records).margin(asked[0]['margin'] or 0)}, judged by the interval."
    ]
    for record in asked:
        if record["not_worse"] == "undecided":
            needed = record["seeds_needed"]
            seeds = f"about {needed} seeds in all" if needed else "more seeds than can reasonably be run"
            lines.append(
                f"{row_name(record)}: undecided; {seeds} would decide it if mean and spread stayed as they are."
            )
    return lines


def _steps_lines(records: Sequence[CompareRecord]) -> list[str]:
    """What the steps to 95 % are, where they are shown."""
    if records[0]["kind"] == "images":
        return []
    return [
        "Steps to 95 %: optimiser steps after which the validation score, measured once an epoch, first had 95 % of "
        "the best row's final score; mean over seeds, - unless every seed got there."
    ]


def _time_line(results: Sequence[ResultRecord]) -> str:
    used = {notes.machine(result["environment"]) for result in results}
    return (
        f"s/epoch: seconds of training steps per epoch ({'; '.join(sorted(used))}); runs side by side slow each other."
    )


def _narrow_score(score: ScoreFormat, record: Compared) -> str:
    """Mean, spread and binomial interval below each other."""
    low, high = record.get("val_score_low"), record.get("val_score_high")
    lines = _spread(score, record).replace(" ±", "\n±")
    return lines if low is None or high is None else f"{lines}\n{100 * low:.1f}-{100 * high:.1f}"


def _spread(score: ScoreFormat, record: Compared) -> str:
    return score.spread(record["val_score_mean"], record["val_score_std"], record["num_seeds"])


def _parameters(record: Compared) -> str:
    return ABSENT if record["parameters"] is None else integer(record["parameters"])


def _binomial(record: CompareRecord) -> str:
    return f"[{percent(record['val_score_low'])}, {percent(record['val_score_high'])}]"


def _test(record: CompareRecord) -> str:
    low, high = percent(record["test_score_low"]), percent(record["test_score_high"])
    interval = "" if record["test_score_low"] is None else f" [{low}, {high}]"
    spread = "" if record["test_score_std"] is None else f" ± {percent(record['test_score_std'])}"
    return f"{percent(record['test_score_mean'])}{spread}{interval}"


def _predicted_per_s(record: CompareRecord) -> str:
    return ABSENT if record["predicted_per_s_mean"] is None else integer(round(record["predicted_per_s_mean"]))


def _difference(score: ScoreFormat, record: Compared) -> str:
    mean = score.difference(record["difference_mean"])
    if record["difference_low"] is None or record["difference_high"] is None:
        return mean
    return f"{mean} [{score.difference(record['difference_low'])}, {score.difference(record['difference_high'])}]"


def _narrow_difference(score: ScoreFormat, record: Compared) -> str:
    """The difference, its intervals and its p value below each other."""
    lines, both = _difference(score, record).replace(" [", "\n["), both_interval(record, score)
    lines += "" if both == ABSENT else f"\n&{both}"
    return lines if record["p_value_holm"] is None else f"{lines}\np {p_value(record['p_value_holm'])}"


def _columns(records: Sequence[Compared]) -> list[Column]:
    """The columns that say something about these records."""
    first = records[0]
    score = ScoreFormat.of(records)
    scores = Column(
        score.title(), partial(_spread, score), short=score.title(_SHORT), narrow=partial(_narrow_score, score), block=1
    )
    short = "diff, points" if score.in_percent else "diff"
    narrow = partial(_narrow_difference, score)
    judged = [
        Column(score.heading, partial(_difference, score), short=short, narrow=narrow, block=1),
        *both_column(records, score),
        *([_P] if any(record["p_value_holm"] is not None for record in records) else []),
        *([_NOT_WORSE] if any(record["margin"] is not None for record in records) else []),
    ]
    if first["kind"] == "table":
        sizes = [_COUNTS[2]] if any(record["parameters"] is not None for record in records) else []
        shares = [_COUNTS[3]] if any(record["share_of_baseline"] is not None for record in records) else []
        return [_COUNTS[0], *sizes, *shares, scores, *judged]
    translated = first["kind"] == "pairs"
    beside = _BINOMIAL if first.get("val_score_low") is not None else _PERPLEXITY if translated else _VAL_LOSS
    steps = [_STEPS] if first["kind"] != "images" else []
    return [*_COUNTS, scores, beside, *judged, *(_TRANSLATION_COSTS if translated else _COSTS), *steps]


_COUNTS = [
    Column("variant", lambda record: record["variant"], right=False, name=True),
    Column("heads", lambda record: integer(record["heads"]), short="H"),
    Column("parameters", _parameters, short="params"),
    Column("share %", lambda record: percent(record["share_of_baseline"])),
    Column("Q", lambda record: ratio(record["determination_ratio"])),
]
_SHORT = {"accuracy": "acc"}
_BINOMIAL = Column("binomial %", _binomial, block=1, in_narrow=True)
_STEPS = Column(
    "steps to 95 %",
    lambda record: ABSENT if record["steps_to_95"] is None else integer(round(record["steps_to_95"])),
    short="steps 95 %",
    block=1,
)
_VAL_LOSS = Column("val loss", lambda record: loss(record["val_loss_mean"]), block=1)
_PERPLEXITY = Column("val perplexity", lambda record: perplexity(record["val_loss_mean"]), short="val ppl", block=1)
_P = Column("p (Holm)", lambda record: p_value(record["p_value_holm"]), block=1, in_narrow=True)
_NOT_WORSE = Column("not worse", lambda record: record["not_worse"] or ABSENT, right=False, block=1)
_COSTS = [
    Column("train loss", lambda record: loss(record["train_loss_mean"]), short="loss", block=1),
    Column("s/epoch", lambda record: seconds(record["seconds_per_epoch_mean"]), block=1),
]
_TRANSLATION_COSTS = [
    *_COSTS[1:],
    Column("tokens/s", _predicted_per_s, block=1),
]
