"""A trained run made smaller."""

from __future__ import annotations

from pathlib import Path

from minform_cli.api.checks import check_device
from minform_cli.config.presets import read_variant
from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.records import ReduceRecord
from minform_cli.runs.progress import Listener, silent


def reduce(
    run: Path | str,
    out: Path | str,
    options: ReduceOptions,
    *,
    on_progress: Listener | None = None,
) -> list[ReduceRecord]:
    """Makes a trained run smaller: a run like any other, with what that cost beside it.

    Args:
        run: folder of a finished run; or another library's model, ``hf:FOLDER``, ``timm:NAME``, ``torchvision:NAME``.
        out: the folder to write; absent or empty. With several budgets, a run for each lies in it.
        options: how, and how much.
        on_progress: is told what takes long, and how healing goes.

    Returns:
        One record for each budget, or a single one.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`; nothing is left of `out`, but
            for a healing that was stopped.
    """
    check_device("cpu", options.threads)
    if options.variant is not None:
        read_variant(options.variant)
    source = str(run)
    if ":" not in source and not RunFolder(Path(source)).meta.is_file():
        raise InputError(f"reduce {source}: is no run folder; accepted: the folder of a finished run, or hf:FOLDER")
    from minform_cli.reducing.reduce import reduce_run
    from minform_cli.report.reduce_files import write_files

    return reduce_run(source, Path(out), options, on_progress or silent, write_files)
