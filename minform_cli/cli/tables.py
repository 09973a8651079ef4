"""The part of ``minform compare`` that compares runs of other tools, and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from minform_cli.cli.console import caption, show, warn
from minform_cli.errors import InputError, MachineError
from minform_cli.study.options import TableOptions
from minform_cli.tables.columns import parse_columns

Table = Annotated[
    Path | None,
    typer.Option(help="The runs in this file or folder: CSV, wandb, mlflow, ..., studies of ours; nothing is trained."),
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="ROLE=COLUMN,...", help="With --table: variant=model,seed=run_seed,score=acc,parameters=n."),
]
Better = Annotated[
    bool | None,
    typer.Option(
        "--higher-is-better/--lower-is-better", help="With --table: which scores are better, where no name says it."
    ),
]


Examples = Annotated[
    Path | None,
    typer.Option(help="A row an example and run: run or variant and seed, example, score; with --table, or alone."),
]


def table_options(
    path: Path | None,
    columns: str | None,
    better: bool | None,
    *,
    examples: Path | None = None,
    margin: float | None = None,
    reference: str,
    out: Path | None = None,
) -> TableOptions | None:
    """What the command line says of a table; None where it names none.

    Raises:
        InputError: an option makes no sense, or is there without ``--table``.
    """
    if path is None and examples is None:
        for option, value in (("--columns", columns), ("--higher-is-better, --lower-is-better", better)):
            if value is not None:
                raise InputError(f"{option}: has no meaning without --table")
        return None
    order: Literal["higher", "lower"] | None = None if better is None else "higher" if better else "lower"
    return TableOptions(
        path=path,
        examples=examples,
        columns=parse_columns(columns),
        better=order,
        margin=margin,
        reference=reference,
        out=out,
    )


def compare_table_file(options: TableOptions, fmt: str, plot: Path | None, *, quiet: bool) -> None:
    """Reads the runs, shows the comparison, and writes its files where a folder is named."""
    from minform_cli.report.compare_table import compare_table, table_caption, table_line
    from minform_cli.study.table_comparison import compare_runs, write_table_files

    found = compare_runs(options)
    if plot is not None and all(record["parameters"] is None for record in found.records):
        raise InputError(f"--plot {plot}: draws scores over parameters, and {options.source} says none")
    show(compare_table(found.records, fmt))
    drawn: list[str] = []
    if plot is not None:
        from minform_cli.report.plots import plot_compare

        try:
            plot_compare(found.records, plot, table_line(found.table))
            drawn = [f"Drawn to {plot}."]
        except (InputError, MachineError) as error:  # the table is printed
            warn(str(error))
    written = write_table_files(found, options, warn)
    if written:
        drawn.append(f"Written to {options.out}: {', '.join(path.name for path in written)}.")
    if not quiet:
        caption([*table_caption(found.records, found.table), *drawn], fmt)
