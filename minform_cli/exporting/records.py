"""What `export` wrote, and how near it is to what it was made of."""

from __future__ import annotations

from typing import Any, TypedDict

from minform_cli.counting.records import CountRecord


class ParityRecord(TypedDict):
    """An exported model beside the stored one on a random batch: largest difference, largest output, their quotient.

    `tokens` is the width of the batch, None for images.
    """

    batch: int
    tokens: int | None
    difference: float
    largest: float
    relative: float


class ExportRecord(TypedDict):
    """One export of a run.

    `loader` is what loads it, `load` the Python that does, run in its folder. `parameters` are the unique numbers of
    the run's model, `numbers` those of the exported file, of `size_bytes`. `expanded` says which parts became larger
    ones that the other library knows, `filled` how many zeros and ones stand where its class has numbers that the model
    lacks, by where. `normalised` says whether pixels are normalised inside. `inputs` are the names in the order of the
    graph. `model` and `baseline` are the settings of the run's model and its baseline's. `origin` is how the run came
    to be where that was not a training, `command` what does it again. `metric`, `metrics` and `data` are those of the
    run's result; without one there is no metric. `environment` has the versions of what wrote it.
    """

    run: str
    out: str
    format: str
    checkpoint: str
    preset: str
    variant: str
    seed: int
    task: str
    loader: str
    parameters: int
    numbers: int
    size_bytes: int
    expanded: list[str]
    filled: dict[str, int]
    normalised: bool
    inputs: list[str]
    output: str
    parity: list[ParityRecord]
    files: list[str]
    load: str
    command: str
    origin: dict[str, Any]
    fingerprint: str
    class_names: list[str]
    model: dict[str, Any]
    baseline: dict[str, Any]
    count: CountRecord
    data: dict[str, Any]
    metric: str | None
    metrics: dict[str, float | int | None]
    environment: dict[str, Any]
    notes: list[str]
