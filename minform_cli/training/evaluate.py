"""Measuring a model on a split, and a finished run from its folder alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import torch
from torch import Tensor, nn

from minform_cli import __version__
from minform_cli.config.schema import RunConfig
from minform_cli.data.batches import make_batches
from minform_cli.data.load import load_data
from minform_cli.data.spec import DataSpec, spec_for
from minform_cli.errors import InputError, NumericalError, unknown_name
from minform_cli.models.build import build_model
from minform_cli.results import EvaluationRecord, RunFolder
from minform_cli.runs.checkpoint import Checkpoint, read_checkpoint
from minform_cli.runs.folder import check_data, read_meta, stored_config
from minform_cli.runs.tensors import Tensors, put_weights, read_tensors, weights_of
from minform_cli.tasks import TASKS, Task
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.runtime import runtime
from minform_cli.training.team import Team
from minform_cli.training.translation import Translations, translations_of

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch

Split = Literal["train", "val", "test"]
Which = Literal["last", "best"]


@dataclass(frozen=True)
class Scores:
    """Mean loss per label, what the task measures (0..1), and what was predicted for each label, (n,)."""

    loss: float
    measured: dict[str, float]
    predictions: Tensor
    labels: Tensor


def score(
    model: nn.Module,
    task: Task,
    spec: DataSpec,
    batches: Iterable[Batch],
    team: Team,
    translations: Translations | None = None,
) -> Scores:
    """Measures `model`, without dropout and without label smoothing.

    Args:
        model: left in evaluation mode.
        task: gives the loss and what else is measured.
        spec: of the data.
        batches: the split, or this process's part of it.
        team: the processes that share the split; asked before every batch whether to stop.
        translations: takes what the model writes, where it writes texts that are to be measured too.
    """
    model.eval()
    loss_sum = 0.0
    predictions: list[Tensor] = []
    labels: list[Tensor] = []
    with torch.no_grad():
        for batch in batches:
            team.check()
            outputs = model(*batch.inputs)
            loss_sum += task.loss(outputs, batch.labels, 0.0).item() * len(batch.labels)
            predictions.append(task.predictions(outputs).cpu())
            labels.append(batch.labels.cpu())
            if translations is not None:
                translations.write(model, batch)
    loss_sum = team.total([loss_sum])[0]
    predicted, true = team.gathered(predictions), team.gathered(labels)
    measured = task.measure(predicted, true, spec)
    if translations is not None:
        measured = {**translations.measured(team), **measured}
    return Scores(loss_sum / len(true), measured, predicted, true)


def evaluate_run(
    run: Path,
    split: str = "val",
    *,
    which: Which = "last",
    device: str = "auto",
    threads: int | None = None,
    beams: int | None = None,
    show: int = 0,
) -> EvaluationRecord:
    """Rebuilds the model of a run from its folder and measures it.

    Args:
        run: the run folder.
        split: ``val``, ``test`` or ``train`` (without augmentation).
        which: the weights of the last step, or of the best epoch by validation accuracy.
        device: as `choose_device` takes it.
        threads: CPU threads; None keeps what torch has.
        beams, show: for translations, as `api.evaluate` has them.

    Raises:
        InputError: the folder is incomplete, damaged, of another version or without such a split; the data differ.
        NumericalError: the loss is not finite.
        Interrupted: a signal came.
    """
    if split not in get_args(Split):
        raise unknown_name("split", split, get_args(Split), "--split")
    folder = RunFolder(run)
    meta = read_meta(folder)
    config = _with_own_tokenizer(stored_config(folder, meta), folder)
    checkpoint = _read_latest(folder, meta["sha256"])
    if which not in checkpoint.files and which == "best":
        raise InputError(f"{run} has no best weights yet: its first epoch is not finished")
    spec = spec_for(config)
    with StopRequest("nothing was measured") as stop, runtime(device, threads) as used:
        data = load_data(config.data)
        check_data(folder, meta, data.fingerprint)
        if split == "test" and data.test is None:
            raise InputError(_no_test(config, spec.title))
        with used.device:
            model = build_model(config, spec)
        put_weights(model, _read_weights(folder, meta["sha256"], which, weights_of(model)))
        batches = make_batches(data, config, used.device)
        if (beams or show) and not _writes(config, cast(Split, split)):
            raise InputError(_no_translations(config, split))
        translations = translations_of(config, data, cast(Split, split), beams)
        evaluation = batches.evaluation(cast(Split, split))
        scores = score(model, TASKS.get(config.task), spec, evaluation, Team(stop), translations)
    if not math.isfinite(scores.loss):
        raise NumericalError(f"{run}: the loss on the {split} split is not finite with the {which} weights")
    confusion = confusion_matrix(scores.labels, scores.predictions, spec.num_classes) if spec.class_names else []
    return EvaluationRecord(
        preset=config.preset,
        variant=config.variant,
        seed=config.seed,
        split=split,
        checkpoint=which,
        data=spec.title,
        num_examples=len(scores.labels),
        metric=TASKS.get(config.task).measures(spec)[0],
        measured=scores.measured,
        parameters=sum(p.numel() for p in model.parameters()),
        loss=scores.loss,
        perplexity=math.exp(min(scores.loss, 700)) if TASKS.info(config.task).has_perplexity else None,
        class_names=list(spec.class_names),
        per_class_accuracy=[row[i] / sum(row) if sum(row) else None for i, row in enumerate(confusion)],
        confusion=confusion,
        translations=[] if translations is None else translations.shown(show),
        notes=[*_measured_notes(translations), *_notes(folder, config, meta["minform"], checkpoint)],
    )


def _with_own_tokenizer(config: RunConfig, folder: RunFolder) -> RunConfig:
    """`config` with the tokenizer in the run's folder where the one of another run, or the user's file, may have moved.

    Not where the text made it: its tokens are in the cache under the name of the text.
    """
    if not folder.tokenizer.is_file():
        return config
    from minform_cli.data.text.tokenizer import KINDS

    if config.init is None and (config.data.tokenizer in KINDS or Path(config.data.tokenizer).expanduser().is_file()):
        return config
    data = config.data.model_copy(update={"tokenizer": str(folder.tokenizer)})
    return config.model_copy(update={"data": data})


def confusion_matrix(labels: Tensor, predictions: Tensor, num_classes: int) -> list[list[int]]:
    """Row i, column j: how many examples of class i were taken for class j."""
    counts = torch.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    rows: list[list[int]] = counts.view(num_classes, num_classes).tolist()
    return rows


def _read_weights(folder: RunFolder, run_sha256: str, which: Which, expected: Tensors) -> Tensors:
    """The weights asked for, of the newest checkpoint: while a run trains, the files of an older one disappear."""
    role = "weights" if which == "last" else "best"
    checkpoint = _read_latest(folder, run_sha256)
    while True:
        try:
            return read_tensors(folder, checkpoint.files[role], expected)
        except InputError:
            newer = _read_latest(folder, run_sha256)
            if newer.files == checkpoint.files:
                raise
            checkpoint = newer


def _read_latest(folder: RunFolder, run_sha256: str) -> Checkpoint:
    if not folder.checkpoint.is_file():
        raise InputError(f"{folder.path} has no checkpoint yet: the run is incomplete; go on with --resume")
    return read_checkpoint(folder, run_sha256)


def _no_test(config: RunConfig, title: str) -> str:
    if config.data.validation == "test":
        return f"--split test: this run validated on the test set of {title}, as its source did; use --split val"
    return f"--split test: {title} has no test split; accepted: val, train"


def _writes(config: RunConfig, split: Split) -> bool:
    return TASKS.info(config.task).decodes and split != "train"


def _no_translations(config: RunConfig, split: str) -> str:
    if TASKS.info(config.task).decodes:
        return f"--beams, --show: the {split} split is not translated; accepted: --split val, --split test"
    return f"--beams, --show: are for runs that translate, and the task of this one is {config.task}"


def _measured_notes(translations: Translations | None) -> list[str]:
    """How translations came about, and what their scores were computed with."""
    if translations is None:
        return []
    return [translations.described(), *(f"{name}: {by}" for name, by in translations.task.measured_by().items())]


def _notes(folder: RunFolder, config: RunConfig, made_by: str, checkpoint: Checkpoint) -> list[str]:
    notes: list[str] = []
    if config.data.validation == "test":
        notes.append("validation was done on the test set")
    if not folder.is_finished():
        epochs = f"{checkpoint.state.epoch} of {config.train.epochs} epochs"
        notes.append(f"the run is not finished: these are the weights after step {checkpoint.state.step:,}, {epochs}")
    if made_by != __version__:
        notes.append(f"the run was made by minform {made_by}, this is {__version__}")
    return notes
