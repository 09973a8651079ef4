"""A finished run that nobody trained here: weights that were imported, or made out of another run's.

Its folder is that of any finished run, so whatever reads one takes it. It has no journals and no moments of an
optimiser; ``run.json`` says in `origin` how it was made.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minform_cli import __version__
from minform_cli.config import legality
from minform_cli.config.schema import RunConfig
from minform_cli.counting.count import count_config
from minform_cli.counting.variants import check
from minform_cli.data.spec import DataSpec, spec_record
from minform_cli.errors import InputError, MachineError, NumericalError
from minform_cli.files import (
    RunFolder,
    check_folder,
    clear_leftovers,
    sync_folder,
    temporary_name,
    write_atomic,
    write_json,
)
from minform_cli.models.build import build_model
from minform_cli.models.meta import weightless
from minform_cli.models.verify import verify
from minform_cli.runs.checkpoint import State
from minform_cli.runs.environment import environment
from minform_cli.runs.folder import RUN, contents, places_of, write_config
from minform_cli.runs.records import FORMAT, ResultRecord
from minform_cli.runs.result import data_record, measured_by, num_parameters
from minform_cli.runs.seal import sealed
from minform_cli.runs.stored import Normalisation, StoredRun, read_run
from minform_cli.runs.tensors import Tensors, weights_of, write_tensors
from minform_cli.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class Made:
    """What such a run is.

    Attributes:
        config: every setting; `preset`, `variant` and `baseline` are what tables say of it.
        spec: of its data.
        weights: every parameter and saved buffer of the config's model, by name.
        normalisation: of images; None for text.
        tokenizer: content of its tokenizer file; None for images.
        fingerprint: SHA-256 of the data that it is trained on; empty where nobody here knows.
        origin: how it was made, in plain JSON: `made` ("imported", "reduced"), `source`, `command`, and more.
        metrics: what was measured of it, by name (``val_accuracy``), as a training's metrics.
    """

    config: RunConfig
    spec: DataSpec
    weights: Tensors
    normalisation: Normalisation | None
    tokenizer: str | None
    fingerprint: str
    origin: Mapping[str, Any]
    metrics: Mapping[str, float | None] = field(default_factory=dict[str, float | None])


def write_run(out: Path, made: Made, *, replace: bool = False) -> StoredRun:
    """Writes the folder of a finished run, all or nothing: it is made beside `out` and then gets its name.

    Args:
        out: the run folder; must not exist or be empty, unless `replace`.
        made: the run.
        replace: put it in the place of a run that lies there.

    Raises:
        InputError: the folder is not free, or the config's parts, data and task do not go together.
        NumericalError: a weight is not finite.
        MachineError: it cannot be written, as on a full disk; nothing is left of it.
        AssertionError: the weights are not those of the config's model (our bug).
    """
    check_free(out, replace=replace)
    legality.check(made.config.model)
    check(made.config, made.spec)
    verify(made.config, made.spec)
    with weightless():
        model = build_model(made.config, made.spec)
    _check_weights(made, model)
    result = _result(made, model)
    with beside(out) as folder:
        meta = _meta(made)
        if made.tokenizer is not None:
            write_atomic(folder.tokenizer, made.tokenizer.encode())
        write_json(folder.meta, meta)
        write_config(folder, made.config)
        entry = write_tensors(folder, "weights-0.safetensors", made.weights)
        checkpoint = {"run": meta["sha256"], "state": asdict(State()), "files": {"weights": entry}, "journals": {}}
        write_json(folder.checkpoint, sealed("checkpoint", checkpoint))
        write_json(folder.result, {**result, "weights_sha256": entry["sha256"]})
    return read_run(out)


def check_free(out: Path, *, replace: bool = False) -> None:
    """Finds out, writing nothing, whether a run can be written to `out`.

    Raises:
        InputError: it is not empty, or under `replace` no run folder.
        MachineError: it may not be written.
    """
    check_folder(out)
    if not contents(RunFolder(out)):
        return
    if not replace:
        raise InputError(f"{out} is not empty: --out names another folder")
    if not RunFolder(out).meta.is_file():
        raise InputError(f"{out} is not a run folder ({RunFolder(out).meta.name} is missing): --out names another")


def _check_weights(made: Made, model: nn.Module) -> None:
    expected = weights_of(model)
    assert made.weights.keys() == expected.keys(), sorted(made.weights.keys() ^ expected.keys())
    for name, tensor in made.weights.items():
        found, wanted = (tensor.dtype, tensor.shape), (expected[name].dtype, expected[name].shape)
        assert found == wanted, f"{name}: {found}, and the model has {wanted}"
        if not torch.isfinite(tensor).all():
            raise NumericalError(f"{name}: not every number of it is finite")


def _meta(made: Made) -> dict[str, object]:
    """``run.json``, as a training writes it, and `origin`."""
    return sealed(
        RUN,
        {
            "minform": __version__,
            "config": made.config.model_dump(mode="json"),
            "fingerprint": made.fingerprint,
            "spec": spec_record(made.spec),
            "normalisation": None if made.normalisation is None else made.normalisation._asdict(),
            "tokenizer": None if made.tokenizer is None else RunFolder(Path()).tokenizer.name,
            "places": places_of(made.config.data),
            "environment": environment(torch.device("cpu"), torch.get_num_threads()),
            "origin": dict(made.origin),
        },
    )


def _result(made: Made, model: nn.Module) -> ResultRecord:
    config = made.config
    return ResultRecord(
        format=FORMAT,
        minform=__version__,
        preset=config.preset,
        variant=config.variant,
        seed=config.seed,
        epochs=0,
        steps=0,
        heads=config.model.heads,
        count=count_config(config, made.spec),
        trained_parameters=num_parameters(model),
        data=data_record(config, made.spec, made.fingerprint),
        metric=TASKS.get(config.task).measures(made.spec)[0],
        metrics=dict(made.metrics),
        timing={"train_s": 0.0, "total_s": 0.0, "seconds_per_epoch": 0.0},
        curve=[],
        measured_by=measured_by(config),
        weights_sha256="",
        environment=environment(torch.device("cpu"), torch.get_num_threads()),
    )


@contextmanager
def beside(out: Path) -> Generator[RunFolder]:
    """A folder to fill, which takes the place of `out` at the end; after an error nothing is left of it.

    Raises:
        MachineError: it cannot be written, as on a full disk.
    """
    there = Path(os.path.abspath(out))  # noqa: PTH100  (of links, the folder they stand in)
    made = temporary_name(there)
    before = made.with_suffix(".old")
    try:
        clear_leftovers(there)
        made.mkdir(parents=True)
        yield RunFolder(made)
        if contents(RunFolder(there)):
            there.rename(before)
        elif there.is_dir():
            for left in there.iterdir():  # the lock, and what a killed process left
                left.unlink()
            there.rmdir()
        made.rename(there)
        with suppress(OSError):  # it is whole and has its name
            sync_folder(there.parent)
    except (OSError, MachineError) as error:
        cause: BaseException = error
        while isinstance(cause.__cause__, OSError | MachineError):  # a folder may be made inside another
            cause = cause.__cause__
        reason = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise MachineError(f"cannot write {out}: {reason}; nothing was written") from error
    finally:
        if before.exists() and not there.exists():
            before.rename(there)
        for leftover in (made, before):
            with suppress(OSError):
                shutil.rmtree(leftover)
