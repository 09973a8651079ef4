"""The files of a reduction beside its run: records, tables, pictures, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.errors import InputError, MachineError
from minform_cli.files import write_atomic, write_json
from minform_cli.reducing.records import RECORDS, ReduceRecord
from minform_cli.report.drawing import drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = {"reduction.md": "markdown", "reduction.tex": "latex", "reduction.csv": "csv"}
"""Tables in the folder -> their format; ``reduction.json`` has the records."""

PICTURE = "reduction.png"

CURVE = "curve.png"

REPORT = "report.html"


def write_files(folder: Path, records: Sequence[ReduceRecord], command: str, tell: Callable[[str], None]) -> None:
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


def _draw(draw: Callable[[], Figure], path: Path, tell: Callable[[str], None]) -> None:
    """Writes a picture; one that cannot be drawn costs the picture."""
    from minform_cli.report.plots import save

    try:
        with drawing(path.name):
            save(draw(), path)
    except (InputError, MachineError) as error:
        tell(f"no {path.name}: {error}")
