"""The whole path of one run, top to bottom: from a config to ``result.json``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minform_cli.config.schema import RunConfig
from minform_cli.counting.count import count_config
from minform_cli.data.batch import Batches, Share
from minform_cli.data.batches import check_tokenizer, make_batches
from minform_cli.data.load import Data
from minform_cli.data.spec import DataSpec
from minform_cli.files import RunFolder, check_folder
from minform_cli.models.build import build_model
from minform_cli.models.meta import weightless
from minform_cli.models.verify import verify
from minform_cli.runs import folder as run_folder
from minform_cli.runs.checkpoint import Checkpoint, CheckpointStore, State, read_checkpoint, remove_unnamed, restore
from minform_cli.runs.journal import EMPTY, Journal
from minform_cli.runs.progress import Listener, Progress, silent
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.runs.result import data_record
from minform_cli.training.compiled import check_compiled
from minform_cli.training.initial import start_from, weights_digest
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.launch import Launch
from minform_cli.training.loop import Loop, Records
from minform_cli.training.measures import with_measures
from minform_cli.training.objective import Objective
from minform_cli.training.outcome import finish, stop_text, tested
from minform_cli.training.parallel import joined
from minform_cli.training.precision import check_precision
from minform_cli.training.prepare import Prepared, prepare
from minform_cli.training.runtime import derive_seed, environment, runtime
from minform_cli.training.step import Stepper
from minform_cli.training.teacher import objective, taught_by
from minform_cli.training.team import Team
from minform_cli.training.translation import translations_of


def train(
    run: Prepared | RunConfig,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    on_progress: Listener | None = None,
    launch: Launch | None = None,
) -> ResultRecord:
    """Trains one run in the folder `out`.

    Args:
        run: prepared; or its settings, every one resolved.
        out: the run folder; must not exist or be empty, unless `resume`.
        resume: go on from the folder's checkpoint, to the same bits as without the stop; from the start if there is
            none; a finished run is returned as it is.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        threads: CPU threads; None keeps what torch has, and on resume what the run began with.
        on_progress: is told how it goes.
        launch: this process among several that train the run together, all of which call this; None: alone. The first
            of them writes the folder and tells how it goes; what it raises, the others raise as `Echo`.

    Returns:
        What ``result.json`` holds.

    Raises:
        InputError: a setting, the folder, the data or the device is wrong; a wrong setting leaves no folder behind.
        NumericalError: a loss, gradient or weight is not finite.
        MachineError: disk or memory failed.
        Interrupted: a signal came; what was done is saved.
    """
    with StopRequest() as stop, joined(launch, stop) as team, ExitStack() as held:
        tell = on_progress if on_progress is not None and team.leads else silent
        begun = begin(run, out, Means(team, stop, held, device, threads), resume=resume, tell=tell)
        if not isinstance(begun, Begun):
            return begun
        begun.loop.run()
        if begun.loop.stopped_early is not None:
            tell(_note(stop_text(begun.loop)))
        result = begun.finish()
    tell(begun.last_news())
    return result


@dataclass(frozen=True)
class Means:
    """What runs are trained with.

    Attributes:
        team: the processes that train them.
        stop: told of signals.
        held: closed when they are done.
        device, threads: as of `train`.
        stacked: how many runs are trained as one model.
    """

    team: Team
    stop: StopRequest
    held: ExitStack
    device: str
    threads: int | None
    stacked: int = 1


@dataclass(frozen=True, eq=False)
class Begun:
    """A run that stands before its next step, its folder claimed."""

    config: RunConfig
    data: Data
    folder: RunFolder
    loop: Loop
    made_with: dict[str, Any]

    def finish(self) -> ResultRecord:
        """Once the loop has ended: the test set read, and ``result.json`` written."""
        measured = tested(self.config, self.data, self.folder, self.loop)
        return self.loop.team.from_leader(
            lambda: finish(self.config, self.data, self.folder, self.loop, measured, self.made_with)
        )

    def last_news(self) -> Progress:
        """Where it stands, once the loop has ended."""
        loop, state = self.loop, self.loop.state
        steps, metric = loop.stepper.steps, loop.stepper.measures[0]
        return Progress("done", state.epoch, loop.epochs, state.step, steps, state.metrics, metric=metric)


def begin(run: Prepared | RunConfig, out: Path, means: Means, *, resume: bool, tell: Listener) -> Begun | ResultRecord:
    """All of `train` before the first step; the result of a run that is finished."""
    started = time.perf_counter()
    folder, team = RunFolder(out), means.team
    with team.together():
        prepared = run if isinstance(run, Prepared) else prepare(run)
    config = prepared.config
    meta = team.from_leader(lambda: _look(out, config, resume))
    if team.from_leader(lambda: _is_finished(folder, meta, prepared)):
        tell(_note(f"{out} is finished: nothing to do"))
        return team.from_leader(lambda: read_result(out))
    if meta is not None:
        config = config.begun_as(run_folder.stored_config(folder, meta))
    with team.together(), means.stop.at_once():
        used = means.held.enter_context(runtime(team.device(means.device), _threads(meta, means.threads)))
        check_compiled(config, team.size)
        check_precision(config.train, used.device)
        tell(_note(used.note if team.size == 1 else f"{used.note}, {team.size} processes"))
        verify(config, prepared.spec)
        check_tokenizer(config)
        data = prepared.load(lambda text: tell(_note(text)))
        batches = make_batches(data, config, used.device, Share(team.rank, team.size))
        initial = _initial(config, meta, data.spec)
        taught = taught_by(config, data, meta, labelled=prepared.labelled)
        config, measures = with_measures(config, data)
    for text in (*data.notes, *measures, *config.notes(batches.steps_per_epoch)):
        tell(_note(text))
    team.check()  # where a signal landed, its error may have been swallowed
    team.meet_on(used.device)
    made_with = {**environment(used, team.size, means.stacked), **config.train.computed()}
    team.from_leader(lambda: means.held.enter_context(run_folder.claimed(folder)))
    digests = initial, None if taught is None else taught.digest
    meta, checkpoint = team.from_leader(lambda: _open(folder, config, data, digests, made_with, resume))
    with team.together():  # that the others have the same examples as the first
        run_folder.check_data(folder, meta, data.fingerprint)
    for text in _resume_notes(out, meta, checkpoint, made_with) if resume else ():
        tell(_note(text))
    tell(Progress("begin", step=checkpoint.state.step if checkpoint is not None else 0))
    following = partial(objective, config, data.spec, taught=taught, labelled=prepared.labelled)
    parts = Parts(config, data, batches, folder, meta, checkpoint, used.device, following)
    loop = _prepare(parts, started, team, tell)
    team.defer()
    return Begun(config, data, folder, loop, made_with)


def dry_run(
    run: Prepared | RunConfig,
    out: Path | None = None,
    *,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> dict[str, Any]:
    """Everything `train` does up to its first optimiser step, for what it would refuse; writes nothing.

    Args:
        run, resume, device, threads: as for `train`.
        out: likewise; None: whatever it would be, nothing is wrong with it.

    Returns:
        `count` (its record), `data` and `environment` (as in ``result.json``), `steps_per_epoch`, `steps`, of the
        first step its `loss` and its `seconds`, and `notes`, which `train` would tell.

    Raises:
        As `train`.
    """
    prepared = run if isinstance(run, Prepared) else prepare(run)
    config = prepared.config
    meta = None if out is None else _look(out, config, resume)
    with StopRequest("nothing was written"), runtime(device, _threads(meta, threads)) as used:
        check_compiled(config, 1)
        check_precision(config.train, used.device)
        verify(config, prepared.spec)
        check_tokenizer(config)
        data = prepared.load()
        taught = taught_by(config, data, meta, labelled=prepared.labelled)
        if out is not None and meta is not None:
            folder = RunFolder(out)
            run_folder.check_data(folder, meta, data.fingerprint)
            run_folder.check_initial(folder, meta, config, _initial(config, meta))
            config = config.begun_as(run_folder.stored_config(folder, meta))
        begun = meta is not None and out is not None and RunFolder(out).checkpoint.is_file()
        config, measures = with_measures(config, data)
        model = _build(config, data.spec, used.device, started=begun)
        batches = make_batches(data, config, used.device)
        follows = objective(config, data.spec, model, taught, labelled=prepared.labelled)
        stepper = Stepper(model, config, data.spec, batches.steps_per_epoch, objective=follows)
        started = time.perf_counter()
        loss, _ = stepper.take(0, next(iter(batches.epoch(0))))
        return {
            "count": count_config(config, data.spec),
            "data": data_record(config, data.spec, data.fingerprint),
            "environment": {**environment(used), **config.train.computed()},
            "steps_per_epoch": batches.steps_per_epoch,
            "steps": stepper.steps,
            "loss": loss,
            "seconds": time.perf_counter() - started,
            "notes": [*data.notes, *measures, *config.notes(batches.steps_per_epoch)],
        }


@dataclass(frozen=True)
class Parts:
    """What a run is made of once its folder is claimed."""

    config: RunConfig
    data: Data
    batches: Batches
    folder: RunFolder
    meta: Mapping[str, Any]
    checkpoint: Checkpoint | None
    device: torch.device
    objective: Callable[[nn.Module], Objective]


def _look(out: Path, config: RunConfig, resume: bool) -> dict[str, Any] | None:
    """``run.json`` of the run to go on with, if there is one; raises what is wrong with the folder."""
    meta = run_folder.look(RunFolder(out), config, resume=resume)
    if meta is None or not RunFolder(out).is_finished():
        check_folder(out)
    return meta


def _is_finished(folder: RunFolder, meta: Mapping[str, Any] | None, run: Prepared) -> bool:
    """Whether the run has its result; data, and a run it starts from, that are said to lie elsewhere than they did are
    known to be the same.
    """
    if meta is None or not folder.is_finished():
        return False
    if run_folder.places_of(run.config.data) != run_folder.stored_places(folder, meta):
        run_folder.check_data(folder, meta, run.source.load().fingerprint)
    if run.config.source != run_folder.stored_config(folder, meta).source:
        run_folder.check_initial(folder, meta, run.config, _initial(run.config, meta))
    return True


def _open(
    folder: RunFolder,
    config: RunConfig,
    data: Data,
    digests: tuple[str | None, str | None],
    made_with: Mapping[str, Any],
    resume: bool,
) -> tuple[dict[str, Any], Checkpoint | None]:
    """``run.json`` of the claimed folder, written if nothing was begun, and its checkpoint."""
    meta = run_folder.look(folder, config, resume=resume)  # again: now nobody else can change it
    if meta is None:
        return run_folder.begin(folder, config, data, made_with, *digests), None
    run_folder.check_data(folder, meta, data.fingerprint)
    run_folder.check_initial(folder, meta, config, digests[0])
    if not folder.config.exists():  # the run was killed as it began
        run_folder.write_config(folder, config)
    return meta, _own_checkpoint(folder, meta)


def _prepare(parts: Parts, started: float, team: Team, tell: Listener) -> Loop:
    """The loop, standing where the checkpoint left it, or at step 0."""
    config, checkpoint = parts.config, parts.checkpoint
    with team.together():
        model = _build(config, parts.data.spec, parts.device, started=checkpoint is not None)
        follows = parts.objective(model)
    stepper = Stepper(model, config, parts.data.spec, parts.batches.steps_per_epoch, team, follows)
    with team.together():
        records = _records(parts, stepper) if team.leads else None
    state = checkpoint.state if checkpoint else State()
    team.spread(model, stepper.optimizer, state.step, stepper.average and stepper.average.weights)
    state.total_s += time.perf_counter() - started
    train = config.train
    epochs = train.num_epochs(parts.batches.steps_per_epoch)
    translations = partial(translations_of, config, parts.data)
    return Loop(
        stepper=stepper,
        batches=parts.batches,
        epochs=epochs,
        checkpoint_every_s=train.checkpoint_every_s,
        state=state,
        records=records,
        team=team,
        tell=tell,
        translations=translations,
        patience=train.early_stop,
        time_limit_s=train.time_limit_s,
    )


def _records(parts: Parts, stepper: Stepper) -> Records:
    """Journals and checkpoints of the run, once its own checkpoint is restored."""
    folder, checkpoint = parts.folder, parts.checkpoint
    remove_unnamed(folder, checkpoint.files if checkpoint else {})
    if checkpoint is not None:
        average = None if stepper.average is None else stepper.average.weights
        restore(folder, checkpoint, stepper.model, stepper.optimizer, average)
    marks = checkpoint.journals if checkpoint else {}
    metrics, timings = (Journal(path, marks.get(path.name, EMPTY)) for path in (folder.metrics, folder.timings))
    return Records(metrics, timings, CheckpointStore(folder, parts.meta["sha256"], (metrics, timings), checkpoint))


def _initial(config: RunConfig, meta: Mapping[str, Any] | None, spec: DataSpec | None = None) -> str | None:
    """SHA-256 of the weights that the run starts from, which its model for `spec` takes; None: from chance.

    A run that goes on knows it, and needs no more where the folder it was started from is gone.
    """
    if config.source is None:
        return None
    if meta is not None and not RunFolder(Path(config.source)).meta.is_file():
        digest: str | None = meta.get("initial")
        return digest
    if spec is None or meta is not None:
        return weights_digest(Path(config.source))
    with weightless():
        return weights_digest(Path(config.source), build_model(config, spec), whole=config.init is None)


def _build(config: RunConfig, spec: DataSpec, device: torch.device, *, started: bool = False) -> nn.Module:
    """The model with its first weights; where a checkpoint brings others, not with those of the run it starts from."""
    torch.manual_seed(derive_seed(config.seed, "weights"))
    with device:
        model = build_model(config, spec)
    if config.source is not None and not started:
        start_from(Path(config.source), model, whole=config.init is None)
    return model


def _own_checkpoint(folder: RunFolder, meta: Mapping[str, Any]) -> Checkpoint | None:
    return read_checkpoint(folder, meta["sha256"]) if folder.checkpoint.is_file() else None


def _threads(meta: Mapping[str, Any] | None, threads: int | None) -> int | None:
    return meta["environment"]["threads"] if meta is not None and threads is None else threads


def _resume_notes(
    out: Path, meta: Mapping[str, Any], checkpoint: Checkpoint | None, now: Mapping[str, Any]
) -> list[str]:
    """What somebody who resumes should know."""
    if checkpoint is None:
        return [f"{out} has no checkpoint yet: starting from step 0"]
    notes = [f"going on from step {checkpoint.state.step:,}"]
    before, now = (
        {"processes": 1, "stacked": 1, **each} for each in (meta["environment"], now)
    )  # which need not say it
    for key in ("minform", "torch", "device", "device_name", "threads", "processes", "stacked"):
        if before[key] != now[key]:
            notes.append(
                f"the run began with {key} {before[key]}, this is {now[key]}: "
                "results are equal to the bit only where both agree"
            )
    return notes


def _note(text: str) -> Progress:
    return Progress("note", text=text)
