"""The whole path of a reduction: the run read, made smaller, compared; then its folder, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.errors import InputError, MachineError
from minform_cli.exporting.files import whole
from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.run import Reduced, command, portable, prepared, reduced
from minform_cli.report.drawing import drawing
from minform_cli.results import ReduceRecord, check_folder, write_atomic, write_json
from minform_cli.runs.made import write_run
from minform_cli.runs.stored import StoredRun, finished_run
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.runtime import runtime

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = {"reduction.md": "markdown", "reduction.tex": "latex", "reduction.csv": "csv"}
"""Tables in the folder -> their format; ``reduction.json`` has the records."""

RECORDS = "reduction.json"

PICTURE = "reduction.png"

CURVE = "curve.png"

REPORT = "report.html"

Tell = Callable[[str], None]


def reduce_run(source: str, out: Path, options: ReduceOptions, tell: Tell) -> list[ReduceRecord]:
    """Reduces a run and writes what came of it.

    Args:
        source: folder of a finished run.
        out: the folder to write, absent or empty; with several budgets a folder for each lies in it.
        options: how.
        tell: is told what takes long, and which pictures are missing.

    Returns:
        A record for each budget, or one.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`; nothing is left of `out`.
    """
    _check_out(out)
    with StopRequest("nothing was written") as stop, runtime("cpu", options.threads):
        run = _read(source)
        task = prepared(run, options, stop, tell)
        done: list[Reduced] = []
        for budget in options.budgets or (None,):
            if budget is not None:
                tell(f"reducing to {budget}")
            done.append(reduced(task, budget, stop, tell))
        stop.check()
        with whole(out) as folder:
            records = _written(folder, out, done)
            write_files(folder, records, command(source, options, ",".join(options.budgets) or None), tell)
            stop.check()
    return records


def _read(source: str) -> StoredRun:
    try:
        return finished_run(Path(source))
    except InputError as error:
        raise InputError(str(error).removeprefix("--init ")) from None


def _check_out(out: Path) -> None:
    check_folder(out)
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} is not empty: --out names another folder")


def _written(folder: Path, out: Path, done: Sequence[Reduced]) -> list[ReduceRecord]:
    """Writes the runs into `folder`, which will be `out`."""
    records: list[ReduceRecord] = []
    for each in done:
        budget = each.record["asked"]["budget"]
        name = portable(budget) if len(done) > 1 else ""
        place = folder / name
        if name:
            write_run(place, each.made)
        else:
            with _emptied(folder):
                write_run(folder, each.made)
        records.append({**each.record, "out": str(out / name)})
    return records


@contextmanager
def _emptied(folder: Path) -> Generator[None]:
    """`folder` away, so that a run may be made under its name."""
    folder.rmdir()
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        raise


def write_files(folder: Path, records: Sequence[ReduceRecord], command: str, tell: Tell) -> None:
    """Writes records, tables, pictures and report into `folder`, and for several budgets into the folder of each.

    Args:
        folder: a folder that is there.
        records: one a budget.
        command: that makes all of them again.
        tell: is told which pictures cannot be drawn.

    Raises:
        MachineError: it cannot be written.
    """
    if len(records) > 1:
        for record in records:
            write_files(folder / Path(record["out"]).name, [record], record["command"], tell)
    from minform_cli.report.reduce_html import reduce_html
    from minform_cli.report.reduce_plot import curve_figure, layers_figure
    from minform_cli.report.reduce_table import reduce_table

    write_json(folder / RECORDS, {"command": command, "reductions": list(records)})
    for name, fmt in TABLES.items():
        write_atomic(folder / name, f"{reduce_table(records, fmt)}\n".encode())
    if len(records) > 1:
        if records[0]["measure"] is not None:
            _draw(lambda: curve_figure(records), folder / CURVE, tell)
    elif records[0]["layers"]:
        _draw(lambda: layers_figure(records[0]), folder / PICTURE, tell)
    write_atomic(folder / REPORT, f"{reduce_html(records, command, tell)}\n".encode())


def _draw(draw: Callable[[], Figure], path: Path, tell: Tell) -> None:
    """Writes a picture; one that cannot be drawn costs the picture."""
    from minform_cli.report.plots import save

    try:
        with drawing(path.name):
            save(draw(), path)
    except (InputError, MachineError) as error:
        tell(f"no {path.name}: {error}")
