"""One reduction: a stored run read, made smaller, compared with what it was; nothing is written here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import nn

from minform_cli.config.schema import PLACES, RunConfig
from minform_cli.counting.count import count_config
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError, NumericalError
from minform_cli.reducing.calibration import Calibration, Inputs, calibration, held_out, random_inputs
from minform_cli.reducing.costs import Costs
from minform_cli.reducing.examples import Examples, named_examples, own_examples, spec_for_run
from minform_cli.reducing.layers import layer_records
from minform_cli.reducing.measuring import COSINE, cosine, difference, latency, measured, metric_of, outputs_of
from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.records import MeasureRecord, ReduceRecord, SampleRecord
from minform_cli.reducing.said import asked, command, how, warnings
from minform_cli.reducing.ways import Smaller, made_smaller
from minform_cli.runs.environment import environment
from minform_cli.runs.made import Made
from minform_cli.runs.stored import StoredRun
from minform_cli.runs.tensors import weights_of
from minform_cli.tasks import TASKS
from minform_cli.training.interrupt import StopRequest

EXACT_LIMIT = 1e-5
"""Of the scale of the outputs: by more no exact reduction may change them, in float32."""

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """What every budget of one command shares.

    Attributes:
        run: that is made smaller.
        source: how the user called it.
        spec: of its data.
        original: its model.
        options: what is asked.
        samples: of calibration; none without data.
        calibrated_on: what the samples are from; None without data.
        measured_on: examples that the metric is measured on; None: there are none.
        before: the metric of the original there, and on how many examples or tokens.
        notes: on the examples.
        costs: of what may go of the original, on each of the samples.
    """

    run: StoredRun
    source: str
    spec: DataSpec
    original: nn.Module
    options: ReduceOptions
    samples: tuple[Calibration, ...]
    calibrated_on: Examples | None
    measured_on: Examples | None
    before: tuple[float, int]
    notes: tuple[str, ...]
    costs: tuple[Costs, ...]


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """A run that is not written yet, and what is to be said of it."""

    made: Made
    record: ReduceRecord


def prepared(run: StoredRun, source: str, options: ReduceOptions) -> Reduction:
    """Reads the model and the examples; nothing is measured.

    Args:
        run: that is made smaller.
        source: how the user called it.
        options: how.

    Raises:
        InputError: the run is damaged or not finished, a weight of it is no number, or the examples do not fit.
    """
    spec = spec_for_run(run)
    calibrated, notes = _calibrated_on(run, options)
    measured_on = _measured_on(run, options, calibrated)
    original = run.model(spec, torch.device("cpu")).eval()
    _check_finite(run, original)
    samples: tuple[Calibration, ...] = ()
    if calibrated is not None:
        seeds = range(options.seed, options.seed + options.repeats)
        samples = tuple(calibration(calibrated, options.examples, seed) for seed in seeds)
        notes += calibrated.notes
    return Reduction(
        run=run,
        source=source,
        spec=spec,
        original=original,
        options=options,
        samples=samples,
        calibrated_on=calibrated,
        measured_on=measured_on,
        before=(1.0, 0),
        notes=notes,
        costs=tuple(Costs(original, run.config.model, sample.batches, options.only) for sample in samples),
    )


def with_original(task: Reduction, stop: StopRequest, tell: Tell) -> Reduction:
    """`task` with the original measured."""
    measured_on = task.measured_on
    if measured_on is None or metric_of(measured_on) == COSINE:
        return task
    tell(f"measuring the original on {measured_on.title}")
    return replace(task, before=measured(task.original, measured_on, stop))


def _calibrated_on(run: StoredRun, options: ReduceOptions) -> tuple[Examples | None, tuple[str, ...]]:
    if options.calibrate is not None:
        return named_examples(run, options.calibrate, "--calibrate", options.settings), ()
    if options.data_free:
        return None, ()
    own = own_examples(run, options.settings)
    if own is None:
        known = "was not trained on data that are known here" if not run.fingerprint else "has its data no longer there"
        raise InputError(
            f"{run.folder.path} {known}: what may go is told from examples; accepted: --calibrate DATA (a data set, a "
            "text file or a folder of images), --set data.path=... where they are now, or --data-free"
        )
    return own, ()


def _measured_on(run: StoredRun, options: ReduceOptions, calibrated: Examples | None) -> Examples | None:
    """The examples to measure on: those named; or, with labels, the run's own or the calibration's; else the latter."""
    if options.measure is not None:
        return named_examples(run, options.measure, "--measure", options.settings)
    if options.calibrate is not None or options.data_free:
        own = own_examples(run)
        if own is not None and (own.labelled or calibrated is None):
            return own
    return calibrated


def _check_finite(run: StoredRun, model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise InputError(f"{run.folder.path}: its weight {name} has numbers that are not finite (NaN or infinity)")


class First(NamedTuple):
    """What the first calibration sample gave, and in how many seconds."""

    made: Smaller
    seconds: float


def first_of(task: Reduction, budget: str | None) -> First:
    """Makes the run smaller; nothing is measured.

    Args:
        task: the run and its examples.
        budget: the one of several that is met; None: another way.

    Raises:
        InputError: a budget cannot be met, a name is unknown, the way does not apply to the model.
    """
    first = task.costs[0] if task.costs else None
    began = time.perf_counter()
    made = made_smaller(task.original, task.run.config, task.spec, first, task.options, budget)
    seconds = time.perf_counter() - began
    made.model.eval()
    return First(made, seconds)


def reduced(task: Reduction, budget: str | None, found: First, stop: StopRequest, tell: Tell) -> Reduced:
    """Compares a smaller model with the original; nothing is written.

    Args:
        task: the run and its examples.
        budget: the one of several that is met; None: another way.
        found: what was made for it.
        stop: asked now and then.
        tell: is told what takes long.

    Raises:
        NumericalError: what should be exact is not.
    """
    run, options, made = task.run, task.options, found.made
    first = task.samples[0].batches if task.samples else None
    batches = shown_to_both(task)
    shown = first or batches or random_inputs(run.config, task.spec)
    apart = _difference(task, made, shown)
    scores = [scored(task, made.model, batches, stop)]
    for sample, costs in zip(task.samples[1:], task.costs[1:], strict=True):
        tell(f"again with the calibration sample of seed {sample.seed}")
        other = made_smaller(task.original, run.config, task.spec, costs, options, budget)
        scores.append(scored(task, other.model, batches, stop))
        stop.check()
    tell("timing both models")
    times = latency(task.original, made.model, shown, stop)
    config = _with_places(run, made.config)
    layers = layer_records(task.original, made.model, shown, made.kept)
    record = ReduceRecord(
        source=task.source,
        out="",
        preset=config.preset,
        variant=config.variant,
        seed=config.seed,
        task=config.task,
        how=how(options),
        asked=asked(options, budget),
        command=command(task.source, options, budget),
        before=count_config(run.config, task.spec),
        after=count_config(config, task.spec),
        difference=apart,
        calibration=_calibration(task),
        samples=_samples(task, scores),
        measure=_measure(task, scores),
        latency=times,
        layers=layers,
        exact=list(made.exact),
        steps=list(made.steps),
        healing=None,
        seconds=found.seconds,
        environment=environment(torch.device("cpu"), torch.get_num_threads()),
        notes=list(dict.fromkeys((*task.notes, *warnings(options, layers)))),
    )
    return Reduced(made=_made(task, config, made.model, record), record=record)


def shown_to_both(task: Reduction) -> tuple[Inputs, ...]:
    """Validation inputs that outputs are compared on where there are no labels."""
    return held_out(task.measured_on) if task.measured_on is not None else ()


def _difference(task: Reduction, made: Smaller, batches: tuple[Inputs, ...]) -> float | None:
    """How far outputs are apart, over their scale; refused where they should not be."""
    wanted, found = (outputs_of(model, batches) for model in (task.original, made.model))
    if wanted.shape != found.shape:
        return None
    if task.spec.class_names or TASKS.info(task.run.config.task).predicts_tokens:  # softmax does not see a shift
        wanted, found = (outputs - outputs.mean(-1, keepdim=True) for outputs in (wanted, found))
    apart = difference(found, wanted)
    if task.options.exact and not apart <= EXACT_LIMIT:
        raise NumericalError(
            f"{task.run.folder.path}: the outputs differ by {apart:.1e} of their scale on real inputs, more than "
            f"{EXACT_LIMIT:g}: nothing was written"
        )
    return apart


def scored(task: Reduction, model: nn.Module, batches: tuple[Inputs, ...], stop: StopRequest) -> float | None:
    """The metric of `model` on the examples that are measured on; None: there are none.

    Args:
        task: has the examples and the original.
        model: the one that is measured.
        batches: validation inputs of those examples, for what needs no labels.
        stop: asked now and then.
    """
    if task.measured_on is None:
        return None
    if metric_of(task.measured_on) != COSINE:
        return measured(model, task.measured_on, stop)[0]
    found, wanted = (outputs_of(each, batches, stop) for each in (model, task.original))
    return cosine(found, wanted)


def _measure(task: Reduction, scores: list[float | None]) -> MeasureRecord | None:
    known = [score for score in scores if score is not None]
    if task.measured_on is None or not known:
        return None
    mean = low = high = None
    if len(known) > 1:
        mean, low, high = t_interval(known)
    before, num = task.before
    if metric_of(task.measured_on) == COSINE:
        num = task.measured_on.data.spec.num_val
    return MeasureRecord(
        metric=metric_of(task.measured_on),
        data=task.measured_on.title,
        examples=num,
        before=before,
        after=known[0],
        healed=None,
        mean=mean,
        low=low,
        high=high,
    )


def t_interval(values: list[float]) -> tuple[float, float | None, float | None]:
    """Mean of two values or more, and Student's t interval of 95 % around it; no interval where all are equal."""
    from scipy import stats

    num, mean = len(values), sum(values) / len(values)
    std = (sum((value - mean) ** 2 for value in values) / (num - 1)) ** 0.5
    if std < 1e-12:
        return mean, None, None
    half = float(stats.t.ppf(0.975, num - 1)) * std / num**0.5
    return mean, mean - half, mean + half


def _samples(task: Reduction, scores: list[float | None]) -> list[SampleRecord]:
    return [
        SampleRecord(seed=sample.seed, sha256=sample.sha256, score=score)
        for sample, score in zip(task.samples, scores, strict=False)
    ]


def _calibration(task: Reduction) -> dict[str, Any] | None:
    if not task.samples:
        return None
    first = task.samples[0]
    return {"data": first.title, "examples": first.number, "seed": first.seed, "sha256": first.sha256}


def _with_places(run: StoredRun, config: RunConfig) -> RunConfig:
    """`config` with the places of its data as they were when the run began, whatever the working directory is now."""
    places = run.meta.get("places", {})
    found = {key: places[key] for key in PLACES if places.get(key) is not None}
    return config.model_copy(update={"data": config.data.model_copy(update=found)})


def _made(task: Reduction, config: RunConfig, model: nn.Module, record: ReduceRecord) -> Made:
    run, measure = task.run, record["measure"]
    weights = {name: tensor.detach().contiguous() for name, tensor in weights_of(model).items()}
    metrics: dict[str, float | None] = {}
    if measure is not None and task.measured_on is not None and metric_of(task.measured_on) != COSINE:
        metrics[f"val_{measure['metric']}"] = measure["after"]
    tokenizer = run.folder.tokenizer
    return Made(
        config=config,
        spec=task.spec,
        weights=weights,
        normalisation=run.normalisation,
        tokenizer=tokenizer.read_text(encoding="utf-8") if tokenizer.is_file() else None,
        fingerprint=run.fingerprint,
        origin={
            "made": "reduced",
            "source": record["source"],
            "source_sha256": _weights_digest(run),
            "asked": record["asked"],
            "calibration": record["calibration"],
            "command": record["command"],
        },
        metrics=metrics,
    )


def _weights_digest(run: StoredRun) -> str:
    """SHA-256 of the file of weights."""
    return str(run.checkpoint().files["weights"]["sha256"])
