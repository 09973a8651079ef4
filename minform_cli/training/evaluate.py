"""Measuring a model on a split, and a finished run from its folder alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import torch
from torch import Tensor, nn

from minform_cli import __version__
from minform_cli.config.schema import RunConfig
from minform_cli.data.batches import make_batches
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError, NumericalError, unknown_name
from minform_cli.files import RunFolder
from minform_cli.runs.checkpoint import Checkpoint
from minform_cli.runs.folder import ORIGINAL
from minform_cli.runs.measured import data_for
from minform_cli.runs.records import EvaluationRecord
from minform_cli.runs.stored import StoredRun, Which, read_run
from minform_cli.tasks import TASKS, Task, check_labels, check_measures
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.measures import with_measures
from minform_cli.training.precision import MEASURED, check_precision, computing, full
from minform_cli.training.runtime import runtime
from minform_cli.training.team import Team
from minform_cli.training.translation import Translations, translations_of

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch
    from minform_cli.data.load import Data
    from minform_cli.training.objective import Objective

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Scores:
    """What a split came to.

    Attributes:
        loss: mean per label.
        measured: what the task measures, 0..1, by name.
        predictions, labels: for each label, (n,).
        owners: place in its split of the example that each label belongs to, (n,); empty where nobody said it.
        translations: of the split, where texts were written.
    """

    loss: float
    measured: dict[str, float]
    predictions: Tensor
    labels: Tensor
    owners: Tensor
    translations: Translations | None = None


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
    owners: list[Tensor] = []
    with torch.no_grad():
        for batch in batches:
            team.check()
            outputs = full(model(*batch.inputs))
            loss_sum += task.loss(outputs, batch.labels, 0.0).item() * len(batch.labels)
            predictions.append(task.predictions(outputs).cpu())
            labels.append(batch.labels.cpu())
            owners += [] if batch.owners is None else [batch.owners]
            if translations is not None:
                translations.write(model, batch)
    loss_sum = team.total([loss_sum])[0]
    predicted, true = team.gathered(predictions), team.gathered(labels)
    measured = task.measure(predicted, true, spec)
    if translations is not None:
        measured = {**translations.measured(team), **measured}
    return Scores(loss_sum / len(true), measured, predicted, true, team.gathered(owners), translations)


def evaluate_run(
    run: Path,
    split: str = "val",
    settings: Sequence[str] = (),
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
        settings: as for `runs.measured.data_for`: where its data have moved, or other data of their shape.
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
    stored = read_run(run)
    if stored.config.teacher is None:
        check_labels(stored.config)
    checkpoint = stored.checkpoint()
    stored.check_has(which, checkpoint)
    with StopRequest("nothing was measured") as stop, runtime(device, threads) as used:
        check_precision(stored.config.train, used.device)
        measured = data_for(stored, settings)
        config, spec, data = measured.config, measured.spec, measured.data
        check_measures(config)
        if config.data.bleu_tokenizer == "auto":
            config, _ = with_measures(config, data)
        if split == "test" and data.test is None:
            raise InputError(_no_test(config, data.spec.title))
        model = stored.model(spec, used.device, which)
        batches = make_batches(data, config, used.device)
        if (beams or show) and not _writes(config, cast(Split, split)):
            raise InputError(_no_translations(config, split))
        translations = translations_of(config, data, cast(Split, split), beams)
        evaluation = batches.evaluation(cast(Split, split))
        with computing(config.train, used.device):
            if TASKS.info(config.task).has_labels:
                scores = score(model, TASKS.get(config.task), spec, evaluation, Team(stop), translations)
            else:
                scores = _beside_its_teacher(stored, spec, data, model).score(model, evaluation, Team(stop))
    if not math.isfinite(scores.loss):
        raise NumericalError(f"{run}: the loss on the {split} split is not finite with the {which} weights")
    confusion = confusion_matrix(scores.labels, scores.predictions, spec.num_classes) if spec.class_names else []
    return EvaluationRecord(
        preset=config.preset,
        variant=config.variant,
        seed=config.seed,
        split=split,
        checkpoint=which,
        data=data.spec.title,
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
        notes=[*_measured_notes(translations), *measured.notes, *_notes(stored, checkpoint)],
    )


def _beside_its_teacher(run: StoredRun, spec: DataSpec, data: Data, model: nn.Module) -> Objective:
    """What measures a run for which no data say what is right: the run that it follows."""
    from minform_cli.training.teacher import objective, taught_by  # which measure, too

    beside = run.folder.path / ORIGINAL
    moved = (
        run.config.teacher is not None and not RunFolder(Path(run.config.teacher)).meta.is_file() and beside.is_dir()
    )
    config = run.config.model_copy(update={"teacher": str(beside)}) if moved else run.config
    taught = taught_by(config, data, run.meta, labelled=False)
    return objective(config, spec, model, taught, labelled=False)


def confusion_matrix(labels: Tensor, predictions: Tensor, num_classes: int) -> list[list[int]]:
    """Row i, column j: how many examples of class i were taken for class j."""
    counts = torch.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    rows: list[list[int]] = counts.view(num_classes, num_classes).tolist()
    return rows


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
    return [
        translations.described(),
        *(f"{name}: {by}" for name, by in translations.task.measured_by(translations.words).items()),
    ]


def _notes(run: StoredRun, checkpoint: Checkpoint) -> list[str]:
    notes: list[str] = []
    config, made_by = run.config, run.meta["minform"]
    if config.data.validation == "test":
        notes.append("validation was done on the test set")
    if config.train.precision == "bf16":
        notes.append(MEASURED)
    if config.train.ema is not None:
        notes.append(f"the weights are averages over the steps (train.ema {config.train.ema:g})")
    if not run.folder.is_finished():
        done = f"after step {checkpoint.state.step:,}, {checkpoint.state.epoch} of {config.train.epochs} epochs"
        if config.train.steps is not None:
            done = f"after step {checkpoint.state.step:,} of {config.train.steps:,}"
        notes.append(f"the run is not finished: these are the weights {done}")
    if made_by != __version__:
        notes.append(f"the run was made by minform {made_by}, this is {__version__}")
    return notes
