"""``minform power``: how many seeds decide it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minform_cli.cli import options, tables
from minform_cli.cli.console import caption, chosen_format, show, warn
from minform_cli.config.names import BASELINE
from minform_cli.errors import InputError, MachineError, counted
from minform_cli.report.intervals import CONFIDENCE
from minform_cli.study.options import PowerOptions

if TYPE_CHECKING:
    from minform_cli.study.power import Power


def power(
    difference: Annotated[
        float | None, typer.Option(help="The difference that is to be found, in points, or in the unit of --std.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="How much worse is acceptable: asks what shows that a variant is not worse.")
    ] = None,
    std: Annotated[
        float | None, typer.Option(help="How much one variant's score deviates over seeds: standard deviation.")
    ] = None,
    paired_correlation: Annotated[
        float | None, typer.Option(help="With --std: of two variants' scores with the same seed [default: 0].")
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="A study whose runs say how much seeds differ.")
    ] = None,
    table: tables.Table = None,
    columns: tables.Columns = None,
    against: Annotated[
        str, typer.Option(help="With --from or --table: the variant that differences refer to.")
    ] = BASELINE,
    chance: Annotated[float, typer.Option("--power", help="The chance to decide it that is asked for.")] = 0.8,
    confidence: Annotated[float, typer.Option(help="Level of the interval that decides.")] = CONFIDENCE,
    fmt: options.Format = None,
    as_json: options.Json = False,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
) -> None:
    """Say how many seeds decide whether two variants differ, or that one is not worse.

    Seeds are paired, as in compare. The deviation is given by --std, or estimated from the runs of a study or of a
    table.
    """
    fmt = chosen_format(fmt, as_json=as_json)
    asked = PowerOptions(
        difference=difference,
        margin=margin,
        std=std,
        paired_correlation=paired_correlation,
        study=study,
        table=tables.table_options(table, columns, None, reference=against),
        reference=against,
        power=chance,
        confidence=confidence,
    )
    if plot is not None:
        from minform_cli.report.plots import check_plot_path

        check_plot_path(plot)
    from minform_cli.report.power_table import power_caption, power_table
    from minform_cli.study.power import find_power

    found = find_power(asked)
    show(power_table(found.records, fmt))
    drawn: list[str] = []
    if plot is not None:
        from minform_cli.report.power_plot import plot_power

        try:
            plot_power(found.records, found.seeds, plot)
            drawn = [f"Drawn to {plot}."]
        except (InputError, MachineError) as error:
            warn(str(error))
    if not quiet:
        caption([*power_caption(found.records, found.seeds), *_told(asked, found), *drawn], fmt)


def _told(asked: PowerOptions, found: Power) -> list[str]:
    """Where the deviation comes from, and how sure it is."""
    if asked.std is not None:
        correlation = asked.paired_correlation or 0.0
        said = "" if asked.paired_correlation is not None else ", as nothing else is known (--paired-correlation)"
        return [f"From a deviation of {asked.std:g} over seeds and a correlation of {correlation:g} of pairs{said}."]
    level = f"{100 * asked.confidence:g} %"
    lines = [f"From {found.spread.name}; in brackets the {level} interval of a deviation, by chi-squared."]
    for spread, least, seeds, most in found.each:
        low, high = spread.interval(asked.confidence) or (spread.std, spread.std)
        lines.append(
            f"{spread.name}: {counted((spread.freedom or 0) + 1, 'pair')}, deviation {spread.std:.3g} "
            f"[{low:.3g}, {high:.3g}]: {_number(seeds)} seeds [{_number(least)}, {_number(most)}]."
        )
    return lines


def _number(seeds: int | None) -> str:
    return "too many" if seeds is None else f"{seeds:,}"
