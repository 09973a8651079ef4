"""Parquet files, by pyarrow (extra ``tables``)."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError
from minform_cli.tables.records import Row, Sheet
from minform_cli.tables.text_files import at_least_one, flat


def read_parquet(path: Path) -> Sheet:
    """The rows of a Parquet file.

    Raises:
        InputError: pyarrow is not installed, or the file is damaged.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError(
            f"{path}: Parquet needs pyarrow, which is not installed; try: pip install 'minform[tables]', or a CSV file"
        )
    reader: Any = importlib.import_module("pyarrow.parquet")
    try:
        found: list[dict[str, Any]] = reader.read_table(str(path)).to_pylist()
    except Exception as error:  # pyarrow's own, and those of the system
        raise InputError(f"{path} is no Parquet file: {(str(error).splitlines() or [''])[0]}") from None
    rows = [Row(f"{path}, row {number}", flat(cells)) for number, cells in enumerate(found, 1)]
    columns = dict.fromkeys(column for row in rows for column in row.cells)
    return Sheet(shape="a Parquet file", columns=tuple(columns), rows=at_least_one(rows, path))
