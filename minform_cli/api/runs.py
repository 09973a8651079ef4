"""One run: training it, and measuring what was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.api.checks import check_device, check_made
from minform_cli.config.names import BASELINE, DEFAULT_PRESET
from minform_cli.config.presets import resolve
from minform_cli.config.schema import RunConfig
from minform_cli.errors import InputError, unknown_name
from minform_cli.files import RunFolder
from minform_cli.runs.progress import Listener
from minform_cli.runs.records import EvaluationRecord, ResultRecord
from minform_cli.runs.stored import finished_run, read_start
from minform_cli.training.prepare import Prepared
from minform_cli.training.prepare import prepare as prepared

if TYPE_CHECKING:
    from minform_cli.training.launch import Launch

SPLITS = ("train", "val", "test")
CHECKPOINTS = ("last", "best")


def prepare(
    preset: str = DEFAULT_PRESET,
    variant: str = BASELINE,
    settings: Sequence[str] = (),
    *,
    seed: int = 0,
    init: Path | str | None = None,
    teacher: Path | str | None = None,
    resumed: Path | str | None = None,
) -> Prepared:
    """One run, its names and settings resolved and its data looked at; for `train`. Imports no torch.

    Args:
        preset, variant, settings: as for `count`.
        seed: of weights, data order, augmentation and dropout.
        init: folder of a finished run whose weights this one starts from, but for readout and head; its sizes and
            vocabulary go over the preset's.
        teacher: folder of a finished run whose outputs and hidden states this one follows, in place of labels or beside
            them (``distill.labels``); its vocabulary goes over the preset's.
        resumed: folder of a run that goes on, with which the folder that `init` names may be gone.

    Raises:
        InputError: a name, key or value is wrong, parts do not go together, or the data are not there.
    """
    start = None if init is None else read_start(Path(init), None if resumed is None else Path(resumed))
    taught = None if teacher is None else finished_run(Path(teacher), "--teacher").start()
    return prepared(resolve(preset, variant, settings, seed, start, taught))


def train(
    run: Prepared,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    on_progress: Listener | None = None,
    launch: Launch | None = None,
) -> ResultRecord:
    """Trains one variant with one seed.

    Args:
        run: as `prepare` makes it.
        out: the run folder; by default ``runs/PRESET-VARIANT-seedN``.
        resume: go on from the folder's last checkpoint, to the same bits as without the stop.
        device: `auto`, `cpu`, `cuda` or `mps`.
        threads: CPU threads; None leaves torch's choice.
        on_progress: is told how it goes.
        launch: this process among several that train the run together (`minform_cli.training.launch.launched` says
            it under torchrun), all of which call this; None trains in this process alone.

    Returns:
        What the run's ``result.json`` holds.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`.
    """
    check_made(run, Prepared, "train", "prepare")
    check_device(device, threads)
    from minform_cli.training.run import train as train_run

    folder = Path(out) if out is not None else default_run_folder(run.config)
    return train_run(run, folder, resume=resume, device=device, threads=threads, on_progress=on_progress, launch=launch)


def evaluate(
    run: Path | str,
    split: str = "val",
    settings: Sequence[str] = (),
    *,
    checkpoint: str = "last",
    device: str = "auto",
    threads: int | None = None,
    beams: int | None = None,
    show: int = 0,
) -> EvaluationRecord:
    """Measures a trained run, rebuilt from its folder alone.

    Args:
        run: the run folder.
        split: `train`, `val` or `test`.
        settings: ``data.key=value`` texts: where the run's data have moved (``data.path=...``), or other data of the
            same shape and classes. Normalisation and tokenizer are the run's own.
        checkpoint: `last` or `best` (by validation accuracy).
        device, threads: as for `train`.
        beams: of the search that writes translations, 1 is greedy; None: 4 on the test split, else 1.
        show: how many translations the record has, beside their sources and references.

    Raises:
        InputError: the folder is incomplete, damaged or of another version, its data changed, or a name is unknown.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS, "--split")
    if checkpoint not in CHECKPOINTS:
        raise unknown_name("checkpoint", checkpoint, CHECKPOINTS, "--checkpoint")
    folder = Path(run)
    if not RunFolder(folder).config.is_file():
        raise InputError(f"{folder} is not a run folder: it has no {RunFolder(folder).config.name}")
    check_device(device, threads)
    from minform_cli.training.evaluate import evaluate_run

    return evaluate_run(
        folder,
        split,
        settings,
        which=checkpoint,  # type: ignore[arg-type]
        device=device,
        threads=threads,
        beams=beams,
        show=show,
    )


def default_run_folder(config: RunConfig) -> Path:
    """``runs/PRESET-VARIANT-seedN``, where `train` puts a run without ``--out``."""
    from minform_cli.study.folders import file_name

    return Path("runs") / f"{file_name(config.preset)}-{file_name(config.variant)}-seed{config.seed}"
