"""The tables of `search`: the front, the rest, and what mattered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from minform_cli.counting.records import grid_value
from minform_cli.errors import counted
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render, to_csv, to_json
from minform_cli.report.numbers import ABSENT, integer, metric_name, metric_title, percent, with_sign
from minform_cli.report.records import SearchRecord, TrialRecord

SHOWN = 12
"""Trials in the table on a screen; the files have all."""


def search_table(record: SearchRecord, fmt: str = "rich", width: int | None = None, most: int | None = SHOWN) -> Output:
    """The trials, best first, in one of the formats of `formats.FORMATS`.

    Args:
        record: of the search. `json` writes it whole, `csv` a line a trial.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
        most: how many trials people's formats show; None: all.
    """
    if fmt == "json":
        return to_json([record])
    trials = ranked(record["trials"])
    if fmt == "csv":
        return to_csv(trials)
    return render(trials[:most], trial_columns(record), fmt, width)


def importance_rows(record: SearchRecord) -> list[tuple[str, float]]:
    """Keys and the share of the spread of scores that each explains, the largest first."""
    return sorted(record["importance"].items(), key=lambda pair: -pair[1])


IMPORTANCE_COLUMNS = [
    Column("setting", lambda row: short(row[0]), right=False, name=True),
    Column("share of the spread %", lambda row: percent(row[1])),
]


def search_caption(record: SearchRecord) -> list[str]:
    """The lines that make the table readable on its own."""
    trials = record["trials"]
    states = Counter(trial["state"] for trial in trials)
    said = {"trained": "trained to the end", "stopped": "stopped", "diverged": "diverged", "under way": "under way"}
    known = ", ".join(f"{states[state]} {text}" for state, text in said.items() if states[state])
    left_out = len(trials) - SHOWN
    return [
        f"Preset {record['preset']}: {record['title']}; at most {integer(record['limit'])} parameters "
        f"({record['budget']}); the baseline has {integer(record['baseline_parameters'])}.",
        f"{counted(len(trials), 'trial')} of {integer(record['combinations'])} combinations: {known}. A stopped one "
        "was not among the best third of those with as many epochs; * is on the front of the trained ones.",
        *([f"Not shown: {counted(left_out, 'trial')}; table.csv has all."] if left_out > 0 else []),
        *_importance_lines(record),
        *_winner_lines(record),
    ]


def trial_columns(record: SearchRecord) -> list[Column]:
    """Of the table: what each trial has otherwise than the baseline, in one column."""
    metric = record["metric"]
    return [
        Column("trial", lambda trial: f"{trial['trial']}{'*' if trial['front'] else ''}", name=True),
        Column("parameters", lambda trial: integer(trial["parameters"]), short="params"),
        Column("share %", lambda trial: percent(trial["share"])),
        Column(
            f"val {metric_title(metric)}", lambda trial: percent(trial["score"]), short=f"val {metric_name(metric)}"
        ),
        Column("epochs", _epochs),
        Column("changed from the baseline", changed(record, ", "), narrow=changed(record, "\n"), right=False, block=1),
    ]


def ranked(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trained ones before the others, each group the best first."""
    states = ("trained", "stopped", "diverged", "under way")
    return sorted(
        trials,
        key=lambda each: (states.index(each["state"]), -each["epochs"], -(each["score"] or 0), each["parameters"]),
    )


def short(key: str) -> str:
    """A key as the tables call it: without its section, where that is the model."""
    return key.removeprefix("model.")


def _epochs(trial: TrialRecord) -> str:
    if trial["of"] is None:
        return ABSENT
    return f"{trial['epochs']}/{trial['of']}" + (" diverged" if trial["state"] == "diverged" else "")


def changed(record: SearchRecord, between: str) -> Callable[[TrialRecord], str]:
    """What a trial has otherwise than the baseline: ``similarity tied, dim 32``."""

    def text(trial: TrialRecord) -> str:
        other = {key: value for key, value in trial["chosen"].items() if value != record["baseline"][key]}
        return between.join(f"{short(key)} {choice(value)}" for key, value in other.items()) or "nothing"

    return text


def choice(value: Any) -> str:
    """A value that is chosen among as people read it: a part with options as ``lora (rank 0.125)``."""
    if not isinstance(value, Mapping):
        return grid_value(value)
    options = {key: each for key, each in cast("Mapping[str, Any]", value).items() if key != "kind"}
    return f"{value['kind']} ({', '.join(f'{key} {grid_value(each)}' for key, each in options.items())})"


def _importance_lines(record: SearchRecord) -> list[str]:
    rows = importance_rows(record)
    if not rows:
        return []
    shares = ", ".join(f"{short(key)} {percent(share)} %" for key, share in rows)
    when = counted(record["importance_epochs"] or 1, "epoch")
    return [f"What mattered for the {metric_name(record['metric'])} after {when}, which all had (fANOVA): {shares}."]


def _winner_lines(record: SearchRecord) -> list[str]:
    won = next((trial for trial in record["trials"] if trial["trial"] == record["winner"]), None)
    if won is None:
        return ["No trial was trained to its end: there is no winner."]
    score = with_sign(record["metric"], percent(won["score"]))
    return [
        f"The best, trial {won['trial']}: {score} with {integer(won['parameters'])} parameters, written as a variant "
        f"to {record['winner_file']}. One seed and the best of {counted(len(record['trials']), 'trial')}: its score is "
        "too good, by how much fresh seeds tell. The test set was not read.",
        f"The proof: {record['proof']}",
    ]
