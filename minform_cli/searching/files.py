"""What a search's folder ends with: its tables, and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minform_cli.files import write_atomic
from minform_cli.report.records import SearchRecord

TABLES = {"table.md": "markdown", "table.csv": "csv", "table.json": "json"}
"""Tables in a search's folder -> their format."""

REPORT = "report.html"


def write_files(out: Path, record: SearchRecord, *, tell: Callable[[str], None]) -> list[Path]:
    """Writes tables, report and, if there is one, the winner's variant.

    Args:
        out: the search's folder.
        record: of the search.
        tell: is told what cannot be drawn.

    Returns:
        The files.

    Raises:
        MachineError: the folder cannot be written.
    """
    from minform_cli.report.search_html import search_html
    from minform_cli.report.search_table import search_table
    from minform_cli.searching.found import write_winner

    for name, fmt in TABLES.items():
        write_atomic(out / name, f"{search_table(record, fmt, most=None)}\n".encode())
    write_atomic(out / REPORT, search_html(record, tell).encode())
    write_winner(record)
    winner = [] if record["winner_file"] is None else [Path(record["winner_file"])]
    return [*(out / name for name in TABLES), out / REPORT, *winner]
