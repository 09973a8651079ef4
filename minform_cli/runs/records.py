"""What a finished run and a measurement of it leave behind, and reading a result back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, cast

from minform_cli.counting.records import CountRecord, Swept
from minform_cli.errors import InputError
from minform_cli.files import RunFolder, read_json

FORMAT = 3
"""Version of the run folder's layout: since 3 ``run.json`` says what the run's data are."""

READ = (2, FORMAT)
"""Versions that are read; a folder of another one is refused."""


class Stopped(TypedDict):
    """Where training ended: after the `epoch`, `of` how many, `by` which setting of section ``train``."""

    epoch: int
    of: int
    by: str


class Ended(Swept, total=False):
    """What a result adds where training ended before its last epoch."""

    stopped_early: Stopped


class ResultRecord(Ended):
    """What `result.json` of a finished run holds; every printed number of the run is computed from it.

    `epochs` is a fraction where a number of steps was trained. `count` is comparable between models;
    `trained_parameters` are those this run trained, with the task's head and without a pooler that the task does not
    use. `metric` is what variants are compared by, `accuracy` where classes are predicted; it is 0..1, more is better.
    `metrics`: ``train_loss``, ``train_accuracy`` (mean over the last epoch, while training), ``val_loss``,
    ``val_accuracy`` and likewise what else the task measures, ``best_val_score`` (of `metric`), ``best_epoch``,
    ``test_loss``, ``test_accuracy`` (None without a test split, or where the test set is the validation set).
    `curve`: [optimiser steps, validation score] at the end of each epoch.
    `timing`: ``train_s`` (training steps alone), ``total_s``, ``seconds_per_epoch`` (mean of the training passes),
    ``predicted_per_s`` (examples or tokens that were predicted, filling left out, over ``train_s``).
    `measured_by`: signatures of metrics that depend on settings beside the data.
    `data`: ``name``, ``title``, ``num_classes``, ``num_train``, ``num_val``, ``num_test``, ``own_val``,
    ``validation``, ``fingerprint``.
    `environment`: versions, device, threads, processes, and `stacked`, how many seeds were trained as one model.
    """

    format: int
    minform: str
    preset: str
    variant: str
    seed: int
    epochs: float
    steps: int
    heads: int
    count: CountRecord
    trained_parameters: int
    data: dict[str, Any]
    metric: str
    metrics: dict[str, float | int | None]
    timing: dict[str, float]
    curve: list[list[float]]
    measured_by: dict[str, str]
    weights_sha256: str
    environment: dict[str, Any]


class EvaluationRecord(TypedDict):
    """What `eval` measures on one split of one trained run. `measured` is 0..1 by name, the loss is a mean.

    `metric` is the one of `measured` that variants are compared by. `num_examples` counts what was predicted: examples,
    or tokens. `perplexity` is exp(loss), None where it is no measure of the task. Without classes `class_names`,
    `per_class_accuracy` and `confusion` are empty. `confusion[i][j]` counts examples of class i that were taken for
    class j. `translations` are those asked for. `checkpoint` is `last` or `best`.
    """

    preset: str
    variant: str
    seed: int
    split: str
    checkpoint: str
    data: str
    num_examples: int
    parameters: int
    metric: str
    measured: dict[str, float]
    loss: float
    perplexity: float | None
    class_names: list[str]
    per_class_accuracy: list[float | None]
    confusion: list[list[int]]
    translations: list[TranslationRecord]
    notes: list[str]


class TranslationRecord(TypedDict):
    """One sentence, what it should read in the other language, and what the model wrote."""

    source: str
    reference: str
    translation: str


class ListedRecord(TypedDict):
    """A run or a study as `list_runs` finds it in a folder. What is not known is None.

    `kind` is `run` or `study`; `state` is `finished`, `trial` (of a search, which has come to its end), `interrupted`
    (begun, and no process has it), `running` (one has it), `damaged` or, after it was, `removed`. `score` is the
    validation score of the last finished epoch, 0..1, of the `metric`; `epochs` those that are finished,
    `epochs_planned` those that were asked for. Of a study `runs_finished` of `runs` are. `changed` is when a file there
    was last written, in ISO 8601 and UTC, and `age_s` how long ago that was; `size_bytes` what all files below the
    folder hold. `problem` says what is damaged, or why it was not removed.
    """

    folder: str
    kind: str
    state: str
    preset: str | None
    variant: str | None
    seed: int | None
    metric: str | None
    score: float | None
    epochs: float | None
    epochs_planned: float | None
    runs_finished: int | None
    runs: int | None
    changed: str
    age_s: float
    size_bytes: int
    problem: str | None


def read_result(folder: Path) -> ResultRecord:
    """The result of the finished run in `folder`.

    Raises:
        InputError: there is none, it is damaged, or its format is another version's.
    """
    value = read_json(RunFolder(folder).result, "result")
    check_format(value, RunFolder(folder).result)
    value.setdefault("measured_by", {})  # runs of earlier versions measured nothing by other means than ours
    missing = [key for key in ResultRecord.__required_keys__ if key not in value]
    if missing:
        raise InputError(f"result {RunFolder(folder).result} is damaged: {missing[0]!r} is missing")
    return cast(ResultRecord, value)


def check_format(value: dict[str, Any], path: Path) -> None:
    """Raises `InputError` if `value`, read from `path`, was written in a version of the format that is not read."""
    if value.get("format") not in READ:
        raise InputError(
            f"{path} has format version {value.get('format')!r}; this minform reads versions "
            f"{' and '.join(map(str, READ))}"
        )
