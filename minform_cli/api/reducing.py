"""A trained run made smaller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minform_cli.api.checks import check_device
from minform_cli.config.presets import read_variant
from minform_cli.errors import InputError
from minform_cli.reducing.options import ReduceOptions
from minform_cli.results import ReduceRecord, RunFolder


def reduce(
    run: Path | str,
    out: Path | str,
    options: ReduceOptions,
    *,
    on_progress: Callable[[str], None] | None = None,
) -> list[ReduceRecord]:
    """Makes a trained run smaller: a run like any other, with what that cost beside it.

    Args:
        run: folder of a finished run.
        out: the folder to write; absent or empty. With several budgets, a run for each lies in it.
        options: how, and how much.
        on_progress: is told in sentences what takes long.

    Returns:
        One record for each budget, or a single one.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`; nothing is left of `out`.
    """
    check_device("cpu", options.threads)
    if options.variant is not None:
        read_variant(options.variant)
    source = str(run)
    if not RunFolder(Path(source)).meta.is_file():
        raise InputError(f"{source}: is no run folder; accepted: the folder of a finished run")
    from minform_cli.reduction import reduce_run

    return reduce_run(source, Path(out), options, on_progress or _silent)


def _silent(_text: str) -> None:
    """Nobody listens."""
