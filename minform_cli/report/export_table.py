"""The tables of `export`: what was written, and how near it is to the run's model."""

from __future__ import annotations

from typing import Any

from minform_cli.exporting.records import ExportRecord
from minform_cli.report.eval_table import Sections
from minform_cli.report.fit import Column
from minform_cli.report.formats import FittedTable, check_format, render, to_csv, to_json
from minform_cli.report.numbers import integer, scaled

LIMIT = "largest difference over the largest output, on random examples; more than 1e-5 is refused"


_NOT_IN_CSV = ("parity", "load", "filled", "model", "baseline", "count", "data", "metrics", "environment", "origin")


def export_table(record: ExportRecord, fmt: str = "rich", width: int | None = None) -> Sections | str:
    """What `export` wrote, in one of the formats of `formats.FORMATS`; `csv` has one line a batch.

    Args:
        record: of the export.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    check_format(fmt)
    if fmt == "json":
        return to_json([record])
    if fmt == "csv":
        left_out = (
            "parity",
            "count",
            "data",
            "metrics",
            "environment",
            "origin",
            "load",
            "filled",
            "model",
            "baseline",
        )
        return to_csv([{**record, **parity} for parity in record["parity"]], leave_out=left_out)
    tables: list[tuple[list[Any], list[Column]]] = [(_rows(record), _COLUMNS), (list(record["parity"]), PARITY)]
    if fmt == "rich":
        return Sections([FittedTable(rows, columns) for rows, columns in tables])
    return "\n\n".join(str(render(rows, columns, fmt, width)) for rows, columns in tables)


def export_caption(record: ExportRecord) -> list[str]:
    """The lines that make the tables readable on their own."""
    return [f"Parity with the run's model: {LIMIT}.", *record["notes"]]


def pixels(record: ExportRecord) -> str:
    """What pixels come as, where they are normalised inside."""
    if not record["normalised"]:
        return ""
    return f" ({'0 to 1' if record['format'] == 'hf' else 'uint8'}, normalised inside)"


def _rows(record: ExportRecord) -> list[tuple[str, str]]:
    return [
        ("format", record["format"]),
        ("preset, variant, seed", f"{record['preset']}, {record['variant']}, {record['seed']}"),
        ("run", f"{record['run']}, {record['checkpoint']} checkpoint"),
        ("loaded by", record["loader"]),
        ("numbers", _numbers(record)),
        *(("written larger", part) for part in record["expanded"]),
        *(("filled in", f"{integer(number)}: {where}") for where, number in record["filled"].items()),
        ("inputs", ", ".join(record["inputs"]) + pixels(record)),
        ("size", scaled(record["size_bytes"], "B")),
        ("files", ", ".join(record["files"])),
        ("folder", record["out"]),
    ]


def _numbers(record: ExportRecord) -> str:
    own, written = record["parameters"], record["numbers"]
    return integer(written) if own == written else f"{integer(written)}; the run's model has {integer(own)}"


_COLUMNS = [
    Column("export", lambda row: row[0], right=False, name=True),
    Column("", lambda row: row[1], right=False),
]
PARITY = [
    Column("batch", lambda row: integer(row["batch"])),
    Column("tokens", lambda row: "-" if row["tokens"] is None else integer(row["tokens"])),
    Column("largest output", lambda row: f"{row['largest']:.4g}", short="largest"),
    Column("largest difference", lambda row: f"{row['difference']:.1e}", short="difference"),
    Column("relative", lambda row: f"{row['relative']:.1e}"),
]
