"""How a run ends: the test set read once, and ``result.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minform_cli import __version__
from minform_cli.config.schema import RunConfig
from minform_cli.counting.count import count_config
from minform_cli.data.load import Data
from minform_cli.errors import NumericalError
from minform_cli.files import RunFolder, write_json
from minform_cli.runs.examples import ExampleScores, Split, write_examples
from minform_cli.runs.records import FORMAT, ResultRecord
from minform_cli.runs.result import data_record, measured_by, num_parameters
from minform_cli.training.evaluate import Scores
from minform_cli.training.examples import example_scores
from minform_cli.training.loop import Loop


@dataclass(frozen=True)
class Tested:
    """Test metrics, None each without a test set; and the scores of the examples of each split that has any."""

    metrics: Mapping[str, float | None]
    examples: Mapping[Split, ExampleScores]


def tested(config: RunConfig, data: Data, folder: RunFolder, loop: Loop) -> Tested:
    """What the last weights come to; this is where the test set is read, once.

    Raises:
        NumericalError: the loss is not finite.
    """
    splits: dict[Split, Scores] = {"val": loop.validated()}
    metrics: dict[str, float | None] = {"test_loss": None, **{f"test_{name}": None for name in loop.stepper.measures}}
    if data.test is not None and config.data.validation != "test":
        scores = splits["test"] = loop.score("test")
        with loop.team.together():
            if not math.isfinite(scores.loss):
                raise NumericalError(f"{folder.path}: the loss on the test split is not finite")
        metrics = {"test_loss": scores.loss, **{f"test_{name}": value for name, value in scores.measured.items()}}
    found: dict[Split, ExampleScores] = {}
    for split, scores in splits.items():
        each = example_scores(scores)
        if each is not None:
            found[split] = each
    return Tested(metrics, found)


def stop_text(loop: Loop) -> str:
    """What somebody is told whose run has stopped early."""
    best = loop.state.best
    assert best is not None
    if loop.stopped_early == "time_limit_s":
        return (
            f"stopped after step {loop.state.step:,} of {loop.stepper.steps:,}: {loop.time_limit_s:g} s are over "
            "(train.time_limit_s)"
        )
    return (
        f"stopped after epoch {loop.state.epoch} of {loop.epochs}: nothing better than epoch {best.epoch} for "
        f"{loop.patience} (train.early_stop)"
    )


def finish(
    config: RunConfig,
    data: Data,
    folder: RunFolder,
    loop: Loop,
    measured: Tested,
    made_with: dict[str, Any],
) -> ResultRecord:
    """Writes ``examples.json`` and ``result.json``, and returns what the latter holds."""
    state = loop.state
    assert state.best is not None and loop.records is not None
    epochs = _epochs(state.step, loop.batches.steps_per_epoch)
    result = ResultRecord(
        format=FORMAT,
        minform=__version__,
        preset=config.preset,
        variant=config.variant,
        seed=config.seed,
        epochs=epochs,
        steps=state.step,
        heads=config.model.heads,
        count=count_config(config, data.spec),
        trained_parameters=num_parameters(loop.stepper.model),
        data=data_record(config, data.spec, data.fingerprint),
        metric=loop.stepper.measures[0],
        metrics={
            **state.metrics,
            "best_val_score": state.best.val_score,
            "best_epoch": state.best.epoch,
            **measured.metrics,
        },
        timing={
            "train_s": state.train_s,
            "total_s": state.total_s,
            "seconds_per_epoch": state.train_s / epochs,
            **_speed(folder),
        },
        curve=_curve(folder, loop.stepper.measures[0]),
        measured_by=measured_by(config),
        weights_sha256=loop.records.store.weights_sha256,
        environment=made_with,
    )
    if loop.stopped_early is not None:
        result["stopped_early"] = {"epoch": state.epoch, "of": loop.epochs, "by": loop.stopped_early}
    write_examples(folder, result["weights_sha256"], data.fingerprint, measured.examples)
    write_json(folder.result, result)
    return result


def _epochs(steps: int, steps_per_epoch: int) -> float:
    """How often all training examples were seen: a whole number, or a fraction where steps were asked for."""
    return steps / steps_per_epoch if steps % steps_per_epoch else steps // steps_per_epoch


def _speed(folder: RunFolder) -> dict[str, float]:
    """`predicted_per_s`: examples or tokens in a second of training steps, over the epochs that say it.

    Those that an earlier version of minform trained do not; nothing where there are no others.
    """
    lines = [json.loads(line) for line in folder.timings.read_text(encoding="utf-8").splitlines()]
    known = [line for line in lines if "predicted_per_s" in line]
    if not known:
        return {}
    predicted = sum(line["train_s"] * line["predicted_per_s"] for line in known)
    return {"predicted_per_s": predicted / max(sum(line["train_s"] for line in known), 1e-9)}


def _curve(folder: RunFolder, metric: str) -> list[list[float]]:
    """[step, validation score] at the end of each epoch, from the run's metrics."""
    lines = [json.loads(line) for line in folder.metrics.read_text(encoding="utf-8").splitlines()]
    return [[line["step"], line[f"val_{metric}"]] for line in lines]
