"""The sentences that belong under a table: conventions, and the notes of the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minform_cli.counting.records import CountedRecord, RemovableRecord
from minform_cli.errors import counted
from minform_cli.report.grid import row_name
from minform_cli.report.numbers import integer, metric_name, percent
from minform_cli.runs.records import ResultRecord

PARAMETERS = (
    "Parameters: unique trainable numbers, embedding included; share and saving: of the preset's baseline "
    "with the same settings."
)
"""The convention behind every parameter count."""


def determination(examples: int | None, outputs: int | None) -> str:
    """What Q means, with the K and M it was computed from."""
    if examples is None or outputs is None:
        return "Q = K M / P (training examples x outputs / parameters): not defined without examples, or for tokens."
    return (
        f"Q = K M / P with K = {counted(examples, 'training example')}, M = {counted(outputs, 'output')}, "
        "P = parameters; below 1 the model can memorise."
    )


def validation(result: ResultRecord) -> str:
    """Which examples stand behind the validation accuracy; loud where they are the test set."""
    size = counted(int(result["data"]["num_val"]), "example")
    if result["data"]["validation"] == "test":
        return (
            f"NOTE: VALIDATION IS THE TEST SET ({size}), as in the preset's source: "
            "these accuracies are no estimate for unseen data."
        )
    origin = "of a set of their own" if result["data"]["own_val"] else "held out of the training set"
    return f"Validation: {size} {origin}; last epoch, not the best one{_averaged(result)}."


def _averaged(result: ResultRecord) -> str:
    """Which weights were measured, where they are not those of the last step."""
    decay = result["environment"].get("ema")
    return "" if decay is None else f"; weights averaged over the steps (train.ema {decay})"


def measured_by(result: ResultRecord) -> list[str]:
    """What metrics that depend on settings were computed with, and how translations came about."""
    signatures = result["measured_by"]
    if not signatures:
        return []
    how = "Translations: of the validation set written greedily, of the test set by beam search."
    return [how, *(f"{metric_name(name)}: {by}" for name, by in signatures.items())]


def machine(environment: Mapping[str, Any]) -> str:
    """Where a run computed: device, threads, and where there were several, processes and seeds in one model."""
    threads = environment.get("threads")
    told = counted(threads, "thread") if isinstance(threads, int) else "? threads"
    used = f"{environment.get('device', 'unknown device')}, {told}"
    if "precision" in environment:
        used = f"{used}, {environment['precision']}"
    if environment.get("attention", "fused") != "fused":
        used = f"{used}, attention by {environment['attention']}"
    processes, stacked = environment.get("processes", 1), environment.get("stacked", 1)
    used = used if processes == 1 else f"{used}, {counted(processes, 'process', 'processes')}"
    return used if stacked == 1 else f"{used}, {stacked} seeds stacked"


def num_outputs(result: ResultRecord) -> int | None:
    """M of Q = K M / P; None where Q is unknown."""
    ratio_, parameters = result["count"]["determination_ratio"], result["count"]["parameters"]
    return None if ratio_ is None else round(ratio_ * parameters / result["data"]["num_train"])


MOST_MODELS = 3
"""Models whose exact reductions are told under a table; `json` always has all of them."""


def removable(records: Sequence[CountedRecord]) -> list[str]:
    """What can go of each model whose outputs stay, a line each, `MOST_MODELS` at most."""
    lines = [
        f"{row_name(record)}: {removable_line(record['removable'], record['parameters'])}"
        for record in records[:MOST_MODELS]
    ]
    more = len(records) - len(lines)
    return [*lines, f"of {counted(more, 'more model')}: --format json says it"] if more > 0 else lines


def removable_line(found: RemovableRecord, parameters: int) -> str:
    """How many of so many `parameters` can go exactly, and which; nothing is said of those that cannot."""
    saved = [f"{name} {integer(numbers)}" for name, numbers in found["by"].items() if numbers]
    share = f" ({percent(found['numbers'] / parameters)} %)" if saved else ""
    return f"removable exactly: {counted(found['numbers'], 'number')}{share}{': ' if saved else ''}{', '.join(saved)}"


MOST_NOTES = 12
"""Lines of notes under a table; `json` always has all of them."""


def record_notes(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The records' notes, a line each, `MOST_NOTES` at most; variants with the same to say share it."""
    said: dict[str, list[str]] = {}
    for record in records:
        for note in record["notes"]:
            said.setdefault(note, []).append(row_name(record))
    lines = [f"{', '.join(variants)}: {note}" for note, variants in said.items()]
    if len(lines) <= MOST_NOTES:
        return lines
    return [*lines[:MOST_NOTES], f"{len(lines) - MOST_NOTES} more notes: --format json has them"]
