"""What a study hands to its tables, plots and report."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from minform_cli.counting.records import CountRecord


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


class OverExamplesRecord(TypedDict):
    """How a row differs from the reference on the same examples of one split, paired by seed and by example.

    `score` names what each example has (``right``: 0 or 1), of which `difference_mean` is the mean difference, in its
    own direction. `low` and `high` are the interval where seeds and examples are drawn anew; with one seed where the
    examples are, and the two models stay. `not_worse` judges it by the margin, where the score is the metric's.
    `only_own` and `only_reference` count, for one seed, the examples that one of the two alone gets right, with the
    p value of McNemar's exact test. None stands where nothing can be said.
    """

    score: str
    num_seeds: int
    num_examples: int
    difference_mean: float
    low: float | None
    high: float | None
    not_worse: Literal["yes", "no", "undecided"] | None
    only_own: int | None
    only_reference: int | None
    p_mcnemar: float | None


class DifferenceRecord(TypedDict):
    """How a row differs from that of the variant `reference`, paired by seed, over the seeds of both.

    `difference_*` is its score minus the reference's, with the t interval, and `bootstrap_*` (from 40 seeds on) its
    bootstrap interval. `p_value` is that of the paired t test, `p_value_holm` corrected for the number of rows.
    `not_worse` says whether the row is not worse than the reference by more than `margin`, `seeds_needed` what would
    decide it. None stands where nothing can be said.
    """

    reference: str
    difference_mean: float | None
    difference_low: float | None
    difference_high: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    p_value: float | None
    p_value_holm: float | None
    margin: float | None
    not_worse: Literal["yes", "no", "undecided"] | None
    seeds_needed: int | None
    confidence: float


class CompareRecord(CountRecord, DifferenceRecord):
    """One variant's row of a comparison: its count, and statistics over seeds. Scores are 0..1, of the `metric`.

    `*_score_low` and `*_score_high` are the binomial interval of a mean accuracy for the number of examples it was
    measured on: what another sample of that size could have given, whatever the seed. Differences are of validation
    scores. `steps_to_95` are the optimiser steps after which the validation
    score first had 95 % of the best row's final one at that grid point, mean over seeds; None unless all got there.
    `kind` is that of the data. `over_examples` is by split, ``val`` and ``test``; empty where runs do not say what they
    got right. None stands where nothing can be said.
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
    seconds_per_epoch_mean: float
    predicted_per_s_mean: float | None
    kind: str
    steps_to_95: float | None
    over_examples: dict[str, OverExamplesRecord]


class TableRecord(DifferenceRecord):
    """One variant's row of a comparison of runs out of a table: what there is of a `CompareRecord`, by the same names.

    `kind` is ``table``; `metric` is the name of the score, whichever split it is of. With `unit` ``%`` scores,
    differences and the margin are fractions 0..1, else in the score's own unit. `better` says which scores are better.
    `share_of_baseline` is of the parameters of the baseline, or where there is none of the reference. `num_pairs` are
    the seeds that the row shares with the reference. `over_examples` is by ``table``, empty without scores of examples.
    Where runs are not `paired`, interval and p value are Welch's, over all runs of both.
    """

    variant: str
    grid: dict[str, Any]
    parameters: int | None
    share_of_baseline: float | None
    metric: str
    unit: Literal["%", ""]
    better: Literal["higher", "lower"]
    num_seeds: int
    num_pairs: int | None
    val_score_mean: float
    val_score_std: float | None
    kind: str
    notes: list[str]
    over_examples: dict[str, OverExamplesRecord]
    paired: bool


Compared = CompareRecord | TableRecord
"""A row of a comparison, whoever made its runs."""


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


class ShownExample(TypedDict):
    """A validation example for people: its class, and its PNG in base64 or its text."""

    label: str
    png: str | None
    text: str | None


class LostExample(TypedDict):
    """A validation example, by its place in the split, and how many seeds of the reference and of a row are right."""

    index: int
    reference_right: int
    own_right: int


class LossRecord(TypedDict):
    """Which validation examples a row loses to the variant `reference` at its grid point, over the `seeds` of both.

    `num_lost` are right with more than half of the reference's seeds and wrong with at least half of the row's,
    `num_gained` the other way round. `examples` are those with the greatest difference in seeds, `MOST` at most.
    """

    variant: str
    grid: dict[str, Any]
    reference: str
    seeds: int
    num_examples: int
    num_lost: int
    num_gained: int
    examples: list[LostExample]


class AgreementRecord(TypedDict):
    """`shares[i][j]`: on how many of the validation examples, 0..1, rows i and j are both right or both wrong.

    A row is right where more than half of its seeds are. `names` are those of the rows.
    """

    names: list[str]
    shares: list[list[float]]


class StudyDetails(TypedDict):
    """What a report shows beyond the results of the runs; `missing` says in sentences what is absent, and why.

    `shown` has the examples of `losses` by their place, as text, as far as they could be had.
    """

    class_names: list[str]
    example: ExampleRecord | None
    runs: list[RunDetails]
    missing: list[str]
    losses: list[LossRecord]
    agreement: AgreementRecord | None
    shown: dict[str, ShownExample]


class TrialRecord(TypedDict):
    """One trial of a search. `score` is that of the validation split after `epochs` of `of`, 0..1.

    `state` is `trained` (to its last epoch), `stopped` (others were better after as many epochs), `diverged` (a number
    was no longer finite) or `under way`. `front` says whether no trained trial has a higher score with no more
    parameters, or as high a one with fewer.
    """

    trial: int
    state: Literal["trained", "stopped", "diverged", "under way"]
    parameters: int
    share: float
    score: float | None
    epochs: int
    of: int | None
    front: bool
    chosen: dict[str, Any]
    folder: str


class SearchRecord(TypedDict):
    """A search: what was chosen among (`choices`, `combinations`), under which `limit` of parameters, what came of it.

    `choices` are values by dotted key, `baseline` what the baseline has there.

    `importance` are shares of the spread of scores after `importance_epochs` epochs that each key explains. `winner`
    is the number of the trained trial with the highest score, None where there is none; `proof` the command that
    compares it with the baseline on other seeds.
    """

    preset: str
    metric: str
    title: str
    budget: str
    limit: int
    baseline_parameters: int
    choices: dict[str, list[Any]]
    baseline: dict[str, Any]
    combinations: int
    seed: int
    trials: list[TrialRecord]
    importance: dict[str, float]
    importance_epochs: int | None
    winner: int | None
    winner_file: str | None
    proof: str | None
    command: str
    minform: str


class PowerRecord(TypedDict):
    """What so many seeds of each variant are good for, where their paired differences have the deviation `std`.

    `difference`, `margin` and `std` are in the unit that they were given in; points where a study says them.
    `finds_difference` is the chance that the paired t test finds a true `difference`, `shows_not_worse` that the whole
    interval lies above minus the `margin` where there is none; None where it was not asked for. `enough` says whether
    all that was asked for has the chance `power`. `half_width` is that of the interval, on average.
    """

    seeds: int
    std: float
    half_width: float
    difference: float | None
    finds_difference: float | None
    margin: float | None
    shows_not_worse: float | None
    power: float
    confidence: float
    enough: bool
