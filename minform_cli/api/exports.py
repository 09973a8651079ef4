"""A stored run's model as files that others load, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.api.checks import check_device
from minform_cli.api.runs import CHECKPOINTS
from minform_cli.errors import InputError, unknown_name
from minform_cli.exporting.formats import FORMATS
from minform_cli.exporting.records import ExportRecord
from minform_cli.files import RunFolder

if TYPE_CHECKING:
    from torch import nn


def export(
    run: Path | str,
    format: str,
    out: Path | str,
    *,
    checkpoint: str = "last",
    normalise: bool = False,
    expand: bool = False,
    threads: int | None = None,
) -> ExportRecord:
    """Writes a run's model for others to load, with a model card; only where its outputs stay the same.

    Args:
        run: the run folder.
        format: `safetensors`, `torch-export`, `onnx` or `hf`.
        out: a folder that is absent or empty.
        checkpoint: `last` or `best` (by the validation score).
        normalise: whether images are normalised inside the graph, which then takes uint8 pixels.
        expand: `hf`: whether parts that transformers does not know are written as the larger ones that it knows.
        threads: CPU threads; None keeps what torch has.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`; nothing is left of `out`.
    """
    if format not in FORMATS.names():
        raise unknown_name("format", format, FORMATS.names(), "--format")
    if checkpoint not in CHECKPOINTS:
        raise unknown_name("checkpoint", checkpoint, CHECKPOINTS, "--checkpoint")
    meta = RunFolder(Path(run)).meta
    if not meta.is_file():
        raise InputError(f"{run} is not a run folder: it has no {meta.name}")
    check_device("cpu", threads)
    from minform_cli.exporting.run import export_run
    from minform_cli.reducing.records import RECORDS, read_records
    from minform_cli.report.card import model_card
    from minform_cli.training.interrupt import StopRequest
    from minform_cli.training.runtime import runtime

    made_by = read_records(Path(run)) if (Path(run) / RECORDS).is_file() else []
    reduction = made_by[0] if len(made_by) == 1 else None
    with StopRequest("nothing was written"), runtime("cpu", threads):
        return export_run(
            Path(run),
            format,
            Path(out),
            which=checkpoint,  # type: ignore[arg-type]
            normalise=normalise,
            expand=expand,
            card=lambda record: model_card(record, reduction),
        )


def load(folder: Path | str) -> nn.Module:
    """The model in a folder that `export` wrote as `safetensors`: float32, on the CPU, in evaluation mode.

    It takes what our models take: normalised images (B, C, H, W); or tokens (B, T), types or None, and where tokens
    are real.

    Raises:
        InputError: there is none, or it is damaged.
    """
    from minform_cli.exporting.weights import load as load_weights

    return load_weights(Path(folder))
