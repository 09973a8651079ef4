"""The whole path of a comparison of runs of other tools: table, summary, and the files that a folder ends with."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minform_cli.config.names import BASELINE
from minform_cli.errors import InputError
from minform_cli.files import check_folder, make_folder
from minform_cli.report.records import TableRecord
from minform_cli.study.comparison import REPORT, TABLES, put
from minform_cli.study.options import TableOptions
from minform_cli.tables.lm_eval import SHAPE as LM_EVAL
from minform_cli.tables.records import RunTable


@dataclass(frozen=True)
class TableComparison:
    """What was found: the runs that were read, and a record a variant."""

    table: RunTable
    records: list[TableRecord]


def read_table(options: TableOptions) -> RunTable:
    """The runs that the options name.

    Raises:
        InputError: they cannot be read: one line, with file and row.
    """
    from minform_cli.study.own_runs import are_own, read_own
    from minform_cli.tables.examples import table_of_examples, with_examples, with_samples
    from minform_cli.tables.runs import read_runs

    if options.path is None:
        return table_of_examples(Path(options.source), options.columns, options.better)
    if options.examples is None and are_own(Path(options.path)):
        return read_own(Path(options.path), options.columns, options.better)
    table = read_runs(Path(options.path), options.columns, options.better)
    if options.examples is not None:
        return with_examples(table, Path(options.examples), options.columns)
    return with_samples(table) if table.shape == LM_EVAL else table


def compare_runs(options: TableOptions) -> TableComparison:
    """The comparison; nothing is trained and nothing written. Imports no torch.

    Raises:
        InputError: the runs cannot be read, or the margin or the reference makes no sense for them.
        MachineError: `out` cannot be written.
    """
    table = read_table(options)
    margin = options.margin
    if margin is not None and table.unit == "%":
        if margin > 100:
            raise InputError(f"--margin: expected 0 to 100 points, not {margin:g}")
        margin /= 100
    if options.out is not None:
        check_folder(Path(options.out))
    from minform_cli.study.table_summary import summarise_table  # after what can be refused without scipy

    return TableComparison(table, summarise_table(table, margin, options.reference))


def write_table_files(found: TableComparison, options: TableOptions, tell: Callable[[str], None]) -> list[Path]:
    """Writes the tables and the report into the folder `options.out`.

    Returns:
        The files; one that is as it should be is left untouched. None without such a folder.

    Raises:
        MachineError: the folder cannot be written.
    """
    from minform_cli.report.compare_table import compare_table
    from minform_cli.report.html import TableReport, table_html

    if options.out is None:
        return []
    folder, path = Path(options.out), Path(options.source)
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    make_folder(folder)
    for name, fmt in TABLES.items():
        put(folder / name, f"{compare_table(found.records, fmt)}\n")
    put(folder / REPORT, table_html(TableReport(found.records, found.table, _command(options), digest), tell))
    return [*(folder / name for name in TABLES), folder / REPORT]


def _command(options: TableOptions) -> str:
    words = ["minform", "compare"]
    words += [] if options.path is None else ["--table", str(options.path)]
    words += [] if options.examples is None else ["--examples", str(options.examples)]
    if options.columns:
        words += ["--columns", ",".join(f"{role}={name}" for role, name in options.columns.items())]
    words += [] if options.better is None else [f"--{options.better}-is-better"]
    words += [] if options.margin is None else ["--margin", f"{options.margin:g}"]
    words += [] if options.reference == BASELINE else ["--against", options.reference]
    return shlex.join(words)
