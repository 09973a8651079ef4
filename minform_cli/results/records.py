"""The records that tables, plots and reports are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

GROUPS = ("embedding", "query_key", "value_output", "mlp", "norm", "head")
"""Parameter groups of every count, in the order tables print them. They add up to the total."""


class Swept(TypedDict, total=False):
    """What a study adds to its records: the settings it sweeps, by dotted key; empty where nothing is swept."""

    grid: dict[str, Any]


class CountRecord(Swept):
    """One variant's count. Fractions are 0..1; `macs` are forward multiply-accumulates per example (1 MAC = 2 FLOPs).

    `determination_ratio` is Q = K M / P; None where K or M is unknown. `task_head_parameters` are those of a head that
    published counts of such models leave out, and `parameters` too; 0 where the head is part of the count.
    `dead_parameters` are numbers no loss can depend on, by where they are. `notes` are sentences a reader
    of the table should see.
    """

    preset: str
    variant: str
    parameters: int
    share_of_baseline: float
    determination_ratio: float | None
    macs: int
    groups: dict[str, int]
    heads: int
    task_head_parameters: int
    dead_parameters: dict[str, int]
    notes: list[str]


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


class PlanRecord(TypedDict):
    """One run of a study before it is done; `state` is `finished`, `begun` or `to do`, `seconds` what is left of it."""

    preset: str
    variant: str
    grid: dict[str, Any]
    seed: int
    parameters: int
    state: str
    seconds: float
    folder: str


class CompareRecord(CountRecord):
    """One variant's row of a comparison: its count, and statistics over seeds. Scores are 0..1, of the `metric`.

    `*_score_low` and `*_score_high` are the binomial interval of a mean accuracy for the number of examples it was
    measured on: what another sample of that size could have given, whatever the seed. `difference_*` is the validation
    score minus that of the variant `reference` over the seeds of both, with its t interval, and
    `bootstrap_*` (from 20 seeds on) its bootstrap interval. `p_value` is that of the paired t test, `p_value_holm`
    corrected for the number of rows. `not_worse` says whether the variant is not worse than the reference by more than
    `margin`, `seeds_needed` what would decide it. `steps_to_95` are the optimiser steps after which the validation
    score first had 95 % of the best row's final one at that grid point, mean over seeds; None unless all got there.
    `kind` is that of the data. None stands where nothing can be said.
    """

    metric: str
    num_seeds: int
    val_score_mean: float
    val_score_std: float | None
    val_score_low: float | None
    val_score_high: float | None
    test_score_mean: float | None
    test_score_std: float | None
    test_score_low: float | None
    test_score_high: float | None
    train_loss_mean: float
    train_loss_std: float | None
    val_loss_mean: float
    val_loss_std: float | None
    reference: str
    difference_mean: float | None
    difference_low: float | None
    difference_high: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    seconds_per_epoch_mean: float
    predicted_per_s_mean: float | None
    p_value: float | None
    p_value_holm: float | None
    margin: float | None
    not_worse: Literal["yes", "no", "undecided"] | None
    seeds_needed: int | None
    kind: str
    steps_to_95: float | None
    confidence: float


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


class LearningCurve(TypedDict):
    """What a run logged at the end of each epoch, a list each, all as long as `epoch`. Scores are 0..1.

    `train_s` are the seconds of the epoch's training steps; None where the run did not time the epoch.
    """

    epoch: list[int]
    train_loss: list[float]
    step: list[int]
    val_loss: list[float]
    val_score: list[float]
    train_s: list[float | None]


class AttentionRecord(TypedDict):
    """How one trained model attends over the patches of one image.

    `weights[layer][head][patch]` is the class token's attention where the model has one, else the mean over all
    queries; patches row by row. With a class token they add up to 1 less its attention to itself. `rows` and `columns`
    count patches; `tokens` includes the class token. `prediction` is the class the image is taken for. Empty for
    a layer whose block has no attention.
    """

    rows: int
    columns: int
    tokens: int
    class_token: bool
    weights: list[list[list[float]]]
    prediction: int


class MeasuredRecord(TypedDict):
    """What the last weights of a run do on its validation split.

    None stands where a class has no example there, and where attention was not read off.
    """

    per_class_accuracy: list[float | None]
    attention: AttentionRecord | None


class ExampleRecord(TypedDict):
    """The image that attention is shown on: its place in the validation split, its class, its PNG in base64."""

    index: int
    label: int
    png: str


class RunDetails(TypedDict):
    """One run behind a study's report; `curve` and `measured` are None where they could not be had."""

    variant: str
    grid: dict[str, Any]
    seed: int
    curve: LearningCurve | None
    measured: MeasuredRecord | None


class StudyDetails(TypedDict):
    """What a report shows beyond the results of the runs; `missing` says in sentences what is absent, and why."""

    class_names: list[str]
    example: ExampleRecord | None
    runs: list[RunDetails]
    missing: list[str]


class RemovableRecord(TypedDict):
    """Numbers that can go of a model whose outputs stay, to rounding.

    `numbers` are all of them, `by` those of each reduction, by its name; `why_not` says of a reduction why no more of
    them, or none.
    """

    numbers: int
    by: dict[str, int]
    why_not: dict[str, str]


class ReductionRecord(TypedDict):
    """One reduction of a model of another library: what is left of it. The row `baseline` is the model itself.

    `groups` are those of the model; None, as `parameters`, `saved` and `share_of_baseline` (0..1), where the reduction
    applies to no block. `saved` is negative where it costs. `attention_blocks` and `mlp_blocks` are those it changes,
    `not_applied` counts the blocks that it does not, by reason.
    """

    variant: str
    parameters: int | None
    saved: int | None
    share_of_baseline: float | None
    groups: dict[str, int] | None
    attention_blocks: int
    mlp_blocks: int
    not_applied: dict[str, int]


class ModelRecord(TypedDict):
    """The count of a model that another library builds.

    `groups` are `GROUPS` and `other`, what was not recognised; they add up to `parameters`, all unique parameters,
    the frozen ones included. `shared` are the paths of each tensor that stands in several places, the one it counts
    in first. `other` says by path what was not recognised. `removable` is claimed of what is known alone.
    """

    source: str
    model: str
    parameters: int
    groups: dict[str, int]
    attention_blocks: int
    mlp_blocks: int
    shared: list[list[str]]
    frozen_parameters: int
    other: dict[str, int]
    reductions: list[ReductionRecord]
    removable: RemovableRecord
    notes: list[str]


def row_label(variant: str, grid: Mapping[str, Any]) -> str:
    """A variant at a grid point, for people: ``minimal, heads=1, depth=6``."""
    return f"{variant}, {grid_name(grid)}" if grid else variant


def grid_name(grid: Mapping[str, Any]) -> str:
    """A grid point for people: ``heads=1, depth=6``."""
    return ", ".join(f"{key.rpartition('.')[2]}={grid_value(value)}" for key, value in grid.items())


def grid_value(value: Any) -> str:
    """A swept setting's value as it is written on the command line."""
    return value if isinstance(value, str) else json.dumps(value)
