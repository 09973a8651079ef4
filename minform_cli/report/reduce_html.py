"""The report of a reduction as one HTML page that needs nothing else: no file, no font, no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from minform_cli.errors import InputError, MachineError
from minform_cli.reducing.records import ReduceRecord
from minform_cli.report.drawing import drawing
from minform_cli.report.fit import Grid, fit
from minform_cli.report.html import QUESTION, Picture
from minform_cli.report.numbers import integer, percent
from minform_cli.report.page import page
from minform_cli.report.reduce_plot import curve_figure, layers_figure
from minform_cli.report.reduce_table import (
    Tabled,
    curve_table,
    metric_heading,
    reduce_caption,
    score_text,
    single_tables,
)
from minform_cli.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Titled:
    """A table with its title, ready for the page."""

    title: str
    cells: Grid


@dataclass(frozen=True)
class Section:
    """One reduction on the page."""

    id: str
    name: str
    grids: Sequence[Titled]
    pictures: Sequence[Picture]
    said: Sequence[str]


@dataclass(frozen=True)
class Curve:
    """All budgets together on the page."""

    grid: Grid
    pictures: Sequence[Picture]


def reduce_html(records: Sequence[ReduceRecord], command: str, tell: Callable[[str], None] | None = None) -> str:
    """The page; without the pictures that cannot be drawn, for which it says why.

    Args:
        records: one a budget, one at least.
        command: that makes all of them again.
        tell: is told once why pictures are missing.
    """
    lost: list[str] = []
    sections = [_section(number, record, lost) for number, record in enumerate(records)]
    curve = None
    if len(records) > 1:
        alt = "The metric over the parameters that are left, a point a budget; the numbers are in the table below."
        caption = "The star is the original; lines are intervals over calibration samples, where there are several."
        drawn = _drawn(lambda: curve_figure(records), "curve", alt, caption, lost) if records[0]["measure"] else []
        curve = Curve(_grid(curve_table(records)), drawn)
    if lost and tell is not None:
        tell(f"pictures are missing in the report: {lost[0]}")
    notes = list(dict.fromkeys(note for record in records for note in record["notes"]))
    return page(
        "reduction.html.j2",
        title=f"{records[0]['preset']}: {', '.join(record['variant'] for record in records)}",
        question=QUESTION,
        answer=[answer(record) for record in records],
        notes=[*notes, *([f"Pictures are missing: {lost[0]}"] if lost else [])],
        curve=curve,
        reductions=sections,
        command=command,
        facts=_facts(records[0]),
    )


def answer(record: ReduceRecord) -> str:
    """What one reduction saves and costs, in a sentence."""
    before, after = record["before"]["parameters"], record["after"]["parameters"]
    text = (
        f"{record['variant']}: {integer(after)} of {integer(before)} parameters are left ({percent(after / before)} %)"
    )
    measure = record["measure"]
    if measure is not None:
        number, title = score_text(measure["metric"]), metric_heading(measure["metric"])
        text += f"; {title} {number(measure['before'])} before, {number(measure['after'])} after"
        if measure["healed"] is not None:
            text += f", {number(measure['healed'])} after healing"
    return f"{text}."


def _section(number: int, record: ReduceRecord, lost: list[str]) -> Section:
    pictures: list[Picture] = []
    if record["layers"]:
        alt = "Bars: numbers left of each group; lines: relative errors; over the layers, as in the table above."
        caption = "Above, what is left of each layer's numbers; below, how far what it gives is from the original's."
        pictures = _drawn(lambda: layers_figure(record), f"layers{number}", alt, caption, lost)
    return Section(
        id=f"reduction{number}",
        name=record["variant"],
        grids=[Titled(tabled[0], _grid(tabled)) for tabled in single_tables(record)],
        pictures=pictures,
        said=reduce_caption([record]),
    )


def _drawn(draw: Callable[[], Figure], name: str, alt: str, caption: str, lost: list[str]) -> list[Picture]:
    """The picture; none where it cannot be drawn, for a reason that is then in `lost`."""
    try:
        with drawing("a picture of the report"):
            return [Picture(Markup(inline_svg(draw(), name, alt)), caption)]  # noqa: S704
    except (InputError, MachineError) as error:
        lost.append(str(error))
        return []


def _grid(tabled: Tabled) -> Grid:
    _, rows, columns = tabled
    return fit(rows, columns, None, gap=1)[0]


def _facts(record: ReduceRecord) -> list[tuple[str, str]]:
    found = [("source", record["source"]), ("task", record["task"]), ("how", record["how"])]
    for name, values in (("calibration", record["calibration"]), ("healing", record["healing"])):
        found += [(f"{name}: {key}", str(value)) for key, value in (values or {}).items()]
    found.append(("seconds of the reduction", f"{record['seconds']:.1f}"))
    found += [(key, str(value)) for key, value in record["environment"].items()]
    return found
