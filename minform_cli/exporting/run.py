"""One export: the run read, its files written beside the place they go to, read back, compared, and only then there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from minform_cli import __version__
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_record
from minform_cli.errors import InputError
from minform_cli.exporting.files import CARD, described, write_beside
from minform_cli.exporting.formats import FORMATS
from minform_cli.exporting.parity import compare
from minform_cli.exporting.provenance import command, versions
from minform_cli.exporting.records import ExportRecord, ParityRecord
from minform_cli.exporting.source import Exported, Written, exported
from minform_cli.files import write_atomic
from minform_cli.runs.made import beside, check_free
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import Which, read_run

Card = Callable[[ExportRecord], str]
"""Makes the text of the model card."""


def export_run(
    run: Path, fmt: str, out: Path, *, which: Which = "last", normalise: bool = False, expand: bool = False, card: Card
) -> ExportRecord:
    """Exports a run.

    Args:
        run: its folder; finished, or with a checkpoint.
        fmt: one of `formats.FORMATS`.
        out: a folder that is absent or empty.
        which: weights of the last step, or of the best epoch.
        normalise: whether the graph takes uint8 pixels and normalises them by itself.
        expand: whether parts become larger ones that the other library knows, if that is what it takes.
        card: makes the model card's text of the record.

    Raises:
        InputError: a name is unknown, the run is damaged or incomplete, the format cannot hold the model or its library
            is absent, or `out` is not empty.
        NumericalError: the exported model gives other outputs.
        MachineError: `out` cannot be written.
    """
    form = FORMATS.get(fmt, "--format")
    if normalise and not form.HAS_GRAPH:
        others = ", ".join(name for name in FORMATS.names() if FORMATS.get(name).HAS_GRAPH)
        raise InputError(f"--normalise: {fmt} holds numbers and no graph to normalise in; accepted: with {others}")
    if expand and fmt != "hf":
        raise InputError(f"--expand: is for classes of transformers, and {fmt} keeps every part; accepted: with hf")
    check_free(out)
    model = exported(read_run(run), which, inside=normalise, expand=expand)
    with beside(out) as made:
        folder = made.path
        write_beside(model, folder, described(model))
        written: Written = form.write(model, folder)
        record = _record(model, written, compare(model, written.run))
        record["format"], record["out"] = fmt, str(out)
        files = _files(folder)
        record["size_bytes"] = sum((folder / name).stat().st_size for name in files if name.startswith(written.file))
        record["files"] = sorted([*files, CARD])
        write_atomic(folder / CARD, card(record).encode())
    return record


def _files(folder: Path) -> list[str]:
    """All files below `folder`, by their paths from there; `OSError` where `Path.rglob` would leave some out."""

    def failed(error: OSError) -> None:
        raise error

    return [
        str((Path(place) / name).relative_to(folder))
        for place, _, names in os.walk(folder, onerror=failed)
        for name in names
    ]


def _record(model: Exported, written: Written, parity: list[ParityRecord]) -> ExportRecord:
    run, config = model.run, model.config
    result = read_result(run.folder.path) if run.folder.is_finished() else None
    return ExportRecord(
        run=str(run.folder.path),
        out="",
        format="",
        checkpoint=model.which,
        preset=config.preset,
        variant=config.variant,
        seed=config.seed,
        task=config.task,
        loader=written.loader,
        parameters=model.numbers,
        numbers=written.numbers,
        size_bytes=0,
        expanded=list(written.expanded),
        filled=dict(written.filled),
        normalised=model.inside,
        inputs=list(model.graph.inputs),
        output=model.graph.output,
        parity=parity,
        files=[],
        load=written.load,
        command=command(run),
        origin=dict(run.meta.get("origin", {})),
        fingerprint=run.fingerprint,
        class_names=list(model.spec.class_names),
        model=config.model.model_dump(mode="json"),
        baseline=(config.baseline or config.model).model_dump(mode="json"),
        count=count_config(config, model.spec),
        data=spec_record(model.spec) if result is None else result["data"],
        metric=None if result is None else result["metric"],
        metrics={} if result is None else result["metrics"],
        environment=versions(),
        notes=[*written.notes, *_notes(model)],
    )


def _notes(model: Exported) -> list[str]:
    """What a user should know of the run."""
    run, notes = model.run, list[str]()
    if not run.folder.is_finished():
        state = run.checkpoint().state
        epochs = f"{state.epoch} of {model.config.train.epochs} epochs"
        notes.append(f"the run is not finished: these are the weights after step {state.step:,}, {epochs}")
    if model.config.data.validation == "test":
        notes.append("validation was done on the test set")
    if run.meta["minform"] != __version__:
        notes.append(f"the run was made by minform {run.meta['minform']}, this is {__version__}")
    return notes
