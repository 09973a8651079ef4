"""What `reduce` did to a model, and what that cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from minform_cli.counting.records import CountRecord
from minform_cli.errors import InputError
from minform_cli.files import read_json

RECORDS = "reduction.json"
"""File of the records in a reduction's folder."""


class LatencyRecord(TypedDict):
    """Seconds of a forward pass of the original and of the reduced model at one batch size, measured in turns.

    Medians over `rounds` pairs; `ratio` is the median over pairs of the original's time over the reduced one's, above 1
    where the reduced one is faster, and `ratio_low` and `ratio_high` are the quartiles. `tokens` is the length of the
    longest example of the batch, None for images.
    """

    batch: int
    tokens: int | None
    rounds: int
    original_s: float
    reduced_s: float
    ratio: float
    ratio_low: float
    ratio_high: float


class ReducedLayerRecord(TypedDict):
    """One block before and after: its numbers by group, and how far what it gives is from the original's.

    `errors` are relative and squared, sums over the calibration examples: of `scores` (query and key), `values` (value
    and output), `mlp`, and of the block's `output`, where what went before is reduced too. None where nothing is to be
    compared.
    """

    layer: int
    stack: str
    before: dict[str, int]
    after: dict[str, int]
    errors: dict[str, float | None]


class ExactRecord(TypedDict):
    """One reduction that leaves the outputs as they are: the numbers it saved, or why it does not apply."""

    reduction: str
    numbers: int
    why_not: str | None


class SampleRecord(TypedDict):
    """One calibration sample: its seed, digest, and the metric of the model that it was reduced with."""

    seed: int
    sha256: str
    score: float | None


class MeasureRecord(TypedDict):
    """The metric before and after, 0..1, more is better; `low` and `high` are the t interval over calibration samples.

    `metric` is the task's, or `cosine`: the mean cosine to the original's output on examples held out of the
    calibration. `healed` is None without healing, `mean`, `low` and `high` without several samples.
    """

    metric: str
    data: str
    examples: int
    before: float
    after: float
    healed: float | None
    mean: float | None
    low: float | None
    high: float | None


class ReduceRecord(TypedDict):
    """One reduction of a run.

    `how` is `exact`, `calibrated`, `data-free` or `variant`. `asked` are the options as given, `command` is the line
    that does it again. `before` and `after` are the counts of both models; `difference` is the largest difference of
    outputs over their scale on the calibration examples. `calibration` says what it was calibrated on: `data`,
    `examples`, `seed`, `sha256`; None without data. `samples` are those of `--repeats`. `healing` says `steps` and
    `run`. `seconds` is how long the reduction itself took.
    """

    source: str
    out: str
    preset: str
    variant: str
    seed: int
    task: str
    how: str
    asked: dict[str, Any]
    command: str
    before: CountRecord
    after: CountRecord
    difference: float | None
    calibration: dict[str, Any] | None
    samples: list[SampleRecord]
    measure: MeasureRecord | None
    latency: list[LatencyRecord]
    layers: list[ReducedLayerRecord]
    exact: list[ExactRecord]
    steps: list[str]
    healing: dict[str, Any] | None
    seconds: float
    environment: dict[str, Any]
    notes: list[str]


def read_records(folder: Path) -> list[ReduceRecord]:
    """The records in `folder`.

    Raises:
        InputError: they are missing or damaged.
    """
    found = read_json(folder / RECORDS, "records")
    try:
        return list(found["reductions"])
    except (KeyError, TypeError):
        raise InputError(f"records {folder / RECORDS} are damaged: expected reductions") from None
