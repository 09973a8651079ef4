"""CSV, TSV and JSON Lines: UTF-8, with or without a byte order mark, any ends of lines; one row a run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, cast

from minform_cli.errors import InputError, unread
from minform_cli.tables.records import Cell, Row, Sheet

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
"""Suffixes -> what separates fields."""

JSON_LINES = (".jsonl", ".ndjson")

LARGEST = 256 * 2**20
"""Bytes of a file that is read whole; more are no table of runs."""


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: has more than {LARGEST // 2**20} MiB, which is no table of runs")
        raw = path.read_bytes()
    except OSError as error:
        raise unread(error, f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        utf16 = "; it looks like UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise InputError(f"{path}, line {line}: is not UTF-8{utf16}; accepted: UTF-8") from None


def read_delimited(path: Path) -> Sheet:
    """The rows of a CSV or TSV file, told by its suffix.

    Raises:
        InputError: it is empty, names a column twice, separates fields otherwise, or a row has too many or too few.
    """
    delimiter = DELIMITERS[path.suffix.lower()]
    name = "tabs" if delimiter == "\t" else "commas"
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if not any(header):
            raise InputError(f"{path}: is empty; accepted: a header, and a row a run")
        if len(header) == 1 and (other := next((sign for sign in ";,\t|" if sign in header[0]), None)) is not None:
            raise InputError(f"{path}, line 1: fields are separated by {other!r}; accepted: {name}, as the suffix says")
        _check_header(header, path)
        rows: list[Row] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            place = f"{path}, line {reader.line_num}"
            if len(cells) != len(header):
                raise InputError(
                    f"{place}: has {len(cells)} fields, the header {len(header)}"
                    f"{'; numbers take a decimal point' if delimiter == ',' and len(cells) > len(header) else ''}"
                )
            rows.append(Row(place, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: is no {path.suffix[1:].upper()}: {error}") from None
    return Sheet(shape=f"a {path.suffix[1:].upper()} file", columns=tuple(header), rows=at_least_one(rows, path))


def _check_header(header: list[str], path: Path) -> None:
    for i, name in enumerate(header):
        if not name and i > 0:
            raise InputError(f"{path}, line 1: column {i + 1} has no name")
        if name in header[:i]:
            raise InputError(f"{path}, line 1: column {name!r} is there twice")


def read_json_lines(path: Path) -> Sheet:
    """The rows of a JSON Lines file, an object a line.

    Raises:
        InputError: it is empty, or a line is no object of texts and numbers.
    """
    columns: dict[str, None] = {}
    rows: list[Row] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):  # other ends of lines may stand in a text
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: is no JSON: {str(error).splitlines()[0]}") from None
        if not isinstance(value, dict):
            raise InputError(f"{place}: expected a JSON object with a run, as on every line")
        cells = flat(cast("dict[str, Any]", value))
        columns |= dict.fromkeys(cells)
        rows.append(Row(place, cells))
    return Sheet(shape="a JSON Lines file", columns=tuple(columns), rows=at_least_one(rows, path))


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Cell]:
    """Cells of an object; what lies in objects inside it goes by ``outer.inner``, lists are left out."""
    cells: dict[str, Cell] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            cells |= flat(cast("dict[str, Any]", inner), f"{prefix}{key}.")
        elif inner is None or isinstance(inner, str | int | float):
            cells[f"{prefix}{key}"] = inner
    return cells


def at_least_one(rows: list[Row], path: Path) -> tuple[Row, ...]:
    """The rows of `path`; `InputError` if there are none."""
    if not rows:
        raise InputError(f"{path}: holds no run; accepted: a row a run")
    return tuple(rows)
