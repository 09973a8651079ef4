"""The table of `import`: where every number of the file is now, and whether outputs are the library's own."""

from __future__ import annotations

from minform_cli.errors import counted
from minform_cli.foreign.records import ImportRecord
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render, to_csv, to_json
from minform_cli.report.numbers import integer

_SHOWN = 4
"""Tensors that are named of those left over for one reason."""


def import_table(record: ImportRecord, fmt: str = "rich", width: int | None = None) -> Output:
    """What `import` made, in one of the formats of `formats.FORMATS`.

    Args:
        record: of the import. `json` writes it whole, `csv` all but the list of what is left over.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    if fmt == "json":
        return to_json([record])
    if fmt == "csv":
        left = sum(each["numbers"] for each in record["left_over"])
        return to_csv([{**record, "numbers_left_over": left}], leave_out=["left_over"])
    return render(_rows(record), _COLUMNS, fmt, width)


def import_caption(record: ImportRecord) -> list[str]:
    """The lines that make the table readable on its own."""
    parity = (
        "Difference: the largest of outputs over the largest output, in float32, on random inputs with filling, two "
        "sentences and the last position where the model has them."
    )
    return [*([parity] if record["parity"] is not None else []), *record["notes"]]


def _rows(record: ImportRecord) -> list[tuple[str, str]]:
    groups = ", ".join(f"{name.replace('_', '-')} {integer(num)}" for name, num in record["groups"].items() if num)
    return [
        ("source", f"{record['source']}, {record['architecture']}"),
        ("task, readout", f"{record['task']}, {record['readout']}"),
        ("numbers in the file", integer(record["numbers"])),
        ("in the model", f"{integer(record['parameters'])}: {groups}"),
        *_left_over(record),
        ("outputs", _parity(record)),
        ("folder", record["folder"]),
    ]


def _left_over(record: ImportRecord) -> list[tuple[str, str]]:
    """A line for each reason."""
    by_reason: dict[str, list[tuple[str, int]]] = {}
    for each in record["left_over"]:
        by_reason.setdefault(each["why"], []).append((each["tensor"], each["numbers"]))
    if not by_reason:
        return [("left over", "0")]
    lines: list[tuple[str, str]] = []
    for why, tensors in by_reason.items():
        names = ", ".join(name for name, _ in tensors[:_SHOWN])
        more = f" and {integer(len(tensors) - _SHOWN)} more" if len(tensors) > _SHOWN else ""
        lines.append(("left over", f"{integer(sum(num for _, num in tensors))}: {names}{more}: {why}"))
    return lines


def _parity(record: ImportRecord) -> str:
    if record["parity"] is None:
        return "not compared"
    inputs = counted(record["parity_inputs"], "random input")
    allowed = f"{record['parity_allowed']:.0e}".replace("e-0", "e-")
    return f"{record['parity']:.1e} from {record['library']} on {inputs} (allowed {allowed})"


_COLUMNS = [
    Column("import", lambda row: row[0], right=False, name=True),
    Column("", lambda row: row[1], right=False),
]
