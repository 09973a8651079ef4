"""What runs leave behind: the files of a run folder, the records that tables are made of, atomic writing.

A leaf: no torch, so that tables and plots can be drawn from results alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from minform_cli.errors import InputError, MachineError

FORMAT = 1
"""Version of the run folder's layout; a folder of another version is refused."""

GROUPS = ("embedding", "query_key", "value_output", "mlp", "norm", "head")
"""Parameter groups of every count, in the order tables print them. They add up to the total."""


class Swept(TypedDict, total=False):
    """What a study adds to its records: the settings it sweeps, by dotted key; empty where nothing is swept."""

    grid: dict[str, Any]


class CountRecord(Swept):
    """One variant's count. Fractions are 0..1; `macs` are forward multiply-accumulates per example (1 MAC = 2 FLOPs).

    `determination_ratio` is Q = K M / P; None where K or M is unknown. `dead_parameters` are numbers no loss can
    depend on, by parameter name. `notes` are sentences a reader of the table should see.
    """

    preset: str
    variant: str
    parameters: int
    share_of_baseline: float
    determination_ratio: float | None
    macs: int
    groups: dict[str, int]
    heads: int
    dead_parameters: dict[str, int]
    notes: list[str]


class ResultRecord(Swept):
    """What `result.json` of a finished run holds; every printed number of the run is computed from it.

    `metrics`: ``train_loss``, ``train_accuracy`` (mean over the last epoch, while training), ``val_loss``,
    ``val_accuracy``, ``best_val_accuracy``, ``best_epoch``, ``test_loss``, ``test_accuracy`` (None without a test
    split, or where the test set is the validation set).
    `timing`: ``train_s`` (training steps alone), ``total_s``, ``seconds_per_epoch`` (mean of the training passes).
    `data`: ``name``, ``title``, ``num_train``, ``num_val``, ``num_test``, ``validation``, ``fingerprint``.
    `environment`: versions, device, threads.
    """

    format: int
    minform: str
    preset: str
    variant: str
    seed: int
    epochs: int
    steps: int
    heads: int
    count: CountRecord
    data: dict[str, Any]
    metrics: dict[str, float | int | None]
    timing: dict[str, float]
    weights_sha256: str
    environment: dict[str, Any]


class PlanRecord(TypedDict):
    """One run of a study before it is done; `state` is `finished`, `begun` or `to do`."""

    preset: str
    variant: str
    grid: dict[str, Any]
    seed: int
    parameters: int
    state: str
    folder: str


def row_label(variant: str, grid: Mapping[str, Any]) -> str:
    """A variant at a grid point, for people: ``minimal, heads=1, depth=6``."""
    return f"{variant}, {grid_name(grid)}" if grid else variant


def grid_name(grid: Mapping[str, Any]) -> str:
    """A grid point for people: ``heads=1, depth=6``."""
    return ", ".join(f"{key.rpartition('.')[2]}={grid_value(value)}" for key, value in grid.items())


def grid_value(value: Any) -> str:
    """A swept setting's value as it is written on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Progress:
    """One piece of news from a run, for whoever shows it.

    Attributes:
        kind: `note` (a sentence in `text`), `step`, `epoch` (metrics are final for the epoch), `done`.
        epoch, epochs: number of the epoch (from 1) and how many there are.
        step, steps: optimiser steps done in the whole run, and how many there will be.
        metrics: running or final metrics by name (`train_loss`, `train_accuracy`, `val_loss`, `val_accuracy`).
        examples_per_s: training throughput of the current epoch.
        seconds_left: estimate for the rest of the run.
        text: for `note`.
    """

    kind: Literal["note", "step", "epoch", "done"]
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    metrics: dict[str, float] | None = None
    examples_per_s: float = 0.0
    seconds_left: float = 0.0
    text: str = ""


Listener = Callable[[Progress], None]


class CompareRecord(CountRecord):
    """One variant's row of a comparison: its count, and statistics over seeds. Accuracies are 0..1.

    `difference_*` is the validation accuracy minus the baseline's over the seeds of both, with its interval. `p_value`
    is that of the paired t test, `p_value_holm` corrected for the number of rows. `not_worse` says whether the
    variant is not worse than the baseline by more than `margin`, `seeds_needed` what would decide it. None stands
    where nothing can be said.
    """

    num_seeds: int
    val_accuracy_mean: float
    val_accuracy_std: float | None
    test_accuracy_mean: float | None
    test_accuracy_std: float | None
    train_loss_mean: float
    train_loss_std: float | None
    val_loss_mean: float
    val_loss_std: float | None
    difference_mean: float | None
    difference_low: float | None
    difference_high: float | None
    seconds_per_epoch_mean: float
    p_value: float | None
    p_value_holm: float | None
    margin: float | None
    not_worse: Literal["yes", "no", "undecided"] | None
    seeds_needed: int | None
    confidence: float


class EvaluationRecord(TypedDict):
    """What `eval` measures on one split of one trained run. Accuracies are 0..1, the loss is the mean per example.

    `confusion[i][j]` counts examples of class i that were taken for class j. `checkpoint` is `last` or `best`.
    """

    preset: str
    variant: str
    seed: int
    split: str
    checkpoint: str
    data: str
    num_examples: int
    parameters: int
    accuracy: float
    loss: float
    class_names: list[str]
    per_class_accuracy: list[float | None]
    confusion: list[list[int]]
    notes: list[str]


@dataclass(frozen=True)
class RunFolder:
    """Names of the files in one run's folder.

    ``config.yaml`` reproduces the run; ``run.json`` is what is needed to rebuild the model; ``metrics.jsonl`` has one
    line an epoch and no times (equal runs give equal bytes); ``timings.jsonl`` has the times; ``checkpoint.json``
    names the weight files that belong together, with their SHA-256; ``result.json`` is written last.
    """

    path: Path

    @property
    def config(self) -> Path:  # noqa: D102
        return self.path / "config.yaml"

    @property
    def meta(self) -> Path:  # noqa: D102
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:  # noqa: D102
        return self.path / "metrics.jsonl"

    @property
    def timings(self) -> Path:  # noqa: D102
        return self.path / "timings.jsonl"

    @property
    def checkpoint(self) -> Path:  # noqa: D102
        return self.path / "checkpoint.json"

    @property
    def result(self) -> Path:  # noqa: D102
        return self.path / "result.json"

    def is_finished(self) -> bool:
        """Whether the run has its result."""
        return self.result.is_file()


def write_atomic(path: Path, data: bytes) -> None:
    """Writes `data` to a temporary name beside `path`, syncs it to disk and renames it: all or nothing.

    Raises:
        MachineError: the disk is full, the folder is read-only, or another input/output error; `path` is as before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # the disk may be dead or read-only by now
            temporary.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise MachineError(f"cannot write {path}: {reason}; what was there before is intact") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut (a no-op where folders cannot be opened)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: object) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinity are our bug and refused."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        InputError: the file is missing, unreadable or damaged; `what` names it in the message.
    """
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{what} {path} is missing: not a run folder, or the run is incomplete") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{what} {path} is damaged: {str(error).splitlines()[0]}") from None
    if not isinstance(value, dict):
        raise InputError(f"{what} {path} is damaged: expected a JSON object")
    return cast("dict[str, Any]", value)


def read_result(folder: Path) -> ResultRecord:
    """The result of the finished run in `folder`.

    Raises:
        InputError: there is none, it is damaged, or its format is another version's.
    """
    value = read_json(RunFolder(folder).result, "result")
    check_format(value, RunFolder(folder).result)
    missing = [key for key in ResultRecord.__required_keys__ if key not in value]
    if missing:
        raise InputError(f"result {RunFolder(folder).result} is damaged: {missing[0]!r} is missing")
    return cast(ResultRecord, value)


def check_format(value: dict[str, Any], path: Path) -> None:
    """Raises `InputError` if `value`, read from `path`, was written in another version of the run folder's format."""
    if value.get("format") != FORMAT:
        raise InputError(f"{path} has format version {value.get('format')!r}; this minform reads version {FORMAT}")
