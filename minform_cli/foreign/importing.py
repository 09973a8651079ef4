"""From another library's weights to a finished run of ours: read, put in our parts, compared, written.

Outputs that differ from those of the library's own model by more than `parity.ALLOWED` mean that one of our parts does
something else: nothing is written then.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from minform_cli.errors import InputError, MinformError
from minform_cli.files import user_path
from minform_cli.foreign.adapters.base import Imported, adapt
from minform_cli.foreign.adapters.given import RUN, Options, read_source, split
from minform_cli.foreign.parity import ALLOWED, Parity, compared, random_inputs
from minform_cli.foreign.records import ImportRecord, LeftOverRecord
from minform_cli.models.build import build_model
from minform_cli.models.verify import count_groups
from minform_cli.runs.made import Made, check_free, write_run
from minform_cli.runs.stored import StoredRun, read_run
from minform_cli.runs.tensors import put_weights


class Understood(NamedTuple):
    """A source in our parts: class of its model there, what it became, and how many numbers each tensor had."""

    architecture: str
    imported: Imported
    numbers: Mapping[str, int]


def import_source(source: str, out: Path, options: Options) -> ImportRecord:
    """Makes a finished run of `source` in the folder `out`.

    Args:
        source: ``hf:FOLDER``, ``timm:NAME``, ``torchvision:NAME`` or ``run:FOLDER``, a run of ours.
        out: absent or empty.
        options: what the user says beside it.

    Raises:
        InputError: the source, a tensor of it, an option or the folder is wrong; nothing is written.
        MinformError: outputs differ from the library's own (our bug); nothing is written.
        MachineError: the folder cannot be written; nothing is left of it.
    """
    check_free(out)
    command = _command(source, out, options)
    kind, name = split(source)
    if kind == RUN:
        return _copied(source, user_path(name), out, options, command)
    found = _understood(source, options)
    imported = found.imported
    model = build_model(imported.config, imported.spec)
    put_weights(model, imported.weights)
    parity, notes = _parity(source, imported, model.eval())
    origin = {
        "made": "imported",
        "source": source,
        "command": command,
        "architecture": found.architecture,
        "left_over": dict(imported.left_over),
        "library": imported.library,
        "parity": None if parity is None else parity.difference,
    }
    write_run(
        out,
        Made(
            config=imported.config,
            spec=imported.spec,
            weights=imported.weights,
            normalisation=imported.normalisation,
            tokenizer=imported.tokenizer,
            fingerprint="",
            origin=origin,
        ),
    )
    return _record(found, model, parity, (*imported.notes, *notes), out)


def _understood(source: str, options: Options) -> Understood:
    read = read_source(source, options)
    imported = adapt(read.kind, read.given)
    imported = replace(imported, notes=(*read.notes, *imported.notes))
    return Understood(read.given.architecture, imported, read.given.tensors.numbers)


def _parity(source: str, imported: Imported, model: nn.Module) -> tuple[Parity | None, tuple[str, ...]]:
    """How near the library's own model is, and why nobody knows where it was not asked."""
    if imported.original is None:
        return None, ("outputs were not compared: the library is not installed",)
    try:
        original = imported.original()
    except InputError as error:
        return None, (f"outputs were not compared: {error}",)
    batches = random_inputs(imported.config, imported.spec, imported.tokenizer)
    parity = compared(model, original, batches)
    if not parity.difference <= ALLOWED:  # NaN is no agreement either
        raise MinformError(
            f"{source}: outputs differ from those of {imported.library} by {parity.difference:.1e} of the largest, and "
            f"{ALLOWED:.0e} is allowed; this is a bug of minform, please report it; nothing was written"
        )
    return parity, ()


def _record(
    found: Understood, model: nn.Module, parity: Parity | None, notes: tuple[str, ...], out: Path
) -> ImportRecord:
    imported = found.imported
    groups = count_groups(model)
    left = [
        LeftOverRecord(tensor=name, numbers=found.numbers[name], why=why) for name, why in imported.left_over.items()
    ]
    in_file, in_model = sum(found.numbers.values()), sum(groups.values())
    assert in_file == in_model + sum(each["numbers"] for each in left), "every number is used once or left over"
    return ImportRecord(
        source=imported.config.preset,
        architecture=found.architecture,
        task=imported.config.task,
        readout=imported.config.model.readout.kind,
        numbers=in_file,
        parameters=in_model,
        groups=groups,
        left_over=left,
        library="" if parity is None else imported.library,
        parity=None if parity is None else parity.difference,
        parity_allowed=ALLOWED,
        parity_inputs=0 if parity is None else parity.inputs,
        folder=str(out),
        notes=list(notes),
    )


def _copied(source: str, folder: Path, out: Path, options: Options, command: str) -> ImportRecord:
    """A run of ours as a run that was made: its last weights, without its history."""
    for option, value in (
        ("--weights", options.weights),
        ("--pooling", options.pooling),
        ("--seq-len", options.seq_len),
    ):
        if value is not None:
            raise InputError(f"{option}: a run of ours is what it is; accepted: {source} without it")
    run = read_run(folder)
    if run.spec is None:
        raise InputError(f"{source}: is of format 2, which does not say what its data are; accepted: a run of format 3")
    origin: dict[str, Any] = {"made": "imported", "source": source, "command": command}
    if run.origin is not None:
        origin["before"] = dict(run.origin)
    tokenizer = run.folder.tokenizer.read_text(encoding="utf-8") if run.folder.tokenizer.is_file() else None
    weights = run.weights()
    made = Made(
        config=run.config,
        spec=run.spec,
        weights=weights,
        normalisation=run.normalisation,
        tokenizer=tokenizer,
        fingerprint=run.fingerprint,
        origin=origin,
    )
    write_run(out, made)
    imported = Imported(config=run.config, spec=run.spec, weights=weights, left_over={})
    return _record_of_copy(source, imported, run, out)


def _record_of_copy(source: str, imported: Imported, run: StoredRun, out: Path) -> ImportRecord:
    model = build_model(imported.config, imported.spec)
    put_weights(model, imported.weights)
    buffers = sum(buffer.numel() for name, buffer in model.named_buffers() if name in imported.weights)
    numbers = {"": sum(parameter.numel() for parameter in model.parameters())}
    notes = [f"{buffers:,} whole numbers that are no parameters are kept as they are"] if buffers else []
    if not run.folder.is_finished():
        notes.append("the run is not finished: these are the weights of its last checkpoint")
    found = Understood(type(model).__name__, imported, numbers)
    return {**_record(found, model, None, tuple(notes), out), "source": source}


def _command(source: str, out: Path, options: Options) -> str:
    """What makes the run again."""
    words = ["minform", "import", source, "--out", str(out)]
    for option, value in zip(("--weights", "--pooling", "--seq-len"), options, strict=True):
        words += [] if value is None else [option, str(value)]
    return shlex.join(words)
