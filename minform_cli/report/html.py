"""The report of a study as one HTML page that needs nothing else: no file, no font, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

from markupsafe import Markup

from minform_cli.config.names import BASELINE
from minform_cli.counting.records import grid_value
from minform_cli.errors import InputError, MachineError, counted
from minform_cli.report import notes
from minform_cli.report.compare_table import (
    compare_caption,
    compare_table,
    reference_name,
    study_line,
    table_caption,
    table_line,
)
from minform_cli.report.count_table import count_table
from minform_cli.report.curves import groups_figure, learning_figures
from minform_cli.report.drawing import drawing
from minform_cli.report.fit import Column, Grid, fit, printable
from minform_cli.report.formats import FittedTable, Output
from minform_cli.report.grid import row_name, with_grid
from minform_cli.report.heat import attention_colours, attention_rows, class_table
from minform_cli.report.losses import agreement_table, lost_rows
from minform_cli.report.numbers import ABSENT, integer, metric_name, p_value, percent
from minform_cli.report.page import page
from minform_cli.report.plots import compare_figure, starred
from minform_cli.report.records import Compared, CompareRecord, StudyDetails, TableRecord
from minform_cli.report.score import ScoreFormat
from minform_cli.report.svg import inline_svg
from minform_cli.runs.records import ResultRecord
from minform_cli.tables.records import RunTable

QUESTION = "How many parameters can this Transformer do without, and what does that cost?"


@dataclass(frozen=True)
class StudyReport:
    """What the page is made of.

    Attributes:
        records: one a variant and grid point, one at least.
        results: of all runs behind them.
        details: what `study.details.collect` found.
        command: that makes the study again; several, a line each, where it grew unevenly.
        title: of the page.
        settings: of every run, by dotted key.
        notes: sentences a reader should see first: what was left out, what a machine did.
    """

    records: Sequence[CompareRecord]
    results: Sequence[ResultRecord]
    details: StudyDetails
    command: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class TableReport:
    """What the page of runs out of a table is made of.

    Attributes:
        records: one a variant, one at least.
        table: the runs.
        command: that makes the page again.
        digest: SHA-256 of the file; None of a folder.
    """

    records: Sequence[TableRecord]
    table: RunTable
    command: str
    digest: str | None


@dataclass(frozen=True)
class Picture:
    """An ``<svg>`` element and the line below it."""

    svg: Markup
    caption: str


def study_html(report: StudyReport, tell: Callable[[str], None] | None = None) -> str:
    """The page; without the pictures that cannot be drawn, for which it says why.

    Args:
        report: what it is made of.
        tell: is told once why pictures are missing.
    """
    records, results, details = report.records, report.results, report.details
    lost: list[str] = []
    tradeoffs = _drawn(lambda: _tradeoffs(records, results), lost) or []
    groups = _drawn(lambda: _groups(records), lost)
    curves = _drawn(lambda: _curves(report), lost) or []
    attention = _drawn(lambda: (*attention_rows(records, details), attention_colours()), lost)
    layers, seen, colours = attention or ((), (), ())
    missing = [f"Pictures are missing: {lost[0]}"] if lost else []
    if lost and tell is not None:
        tell(f"pictures are missing in the report: {lost[0]}")
    compared = [record for record in records if record["difference_mean"] is not None]
    return page(
        "study.html.j2",
        title=report.title,
        question=QUESTION,
        rows=[row_name(record) for record in records],
        compared=[row_name(record) for record in compared],
        answer=answer(records),
        notes=[*report.notes, *details["missing"], *missing],
        comparison=_grid(compare_table(records)),
        comparison_notes=compare_caption(records, results),
        statistics=_grid(FittedTable(compared, _statistics(compared)), swept=compared) if compared else None,
        reference=reference_name(records),
        statistics_notes=_statistics_notes(records),
        counts=_grid(count_table(records), swept=records),
        groups=groups,
        metric=metric_name(records[0]["metric"]),
        over="parameters and over time",
        tradeoffs=tradeoffs,
        curves=curves,
        classes=class_table(records, details),
        lost=lost_rows(details, reference_name(records)),
        agreement=agreement_table(details),
        validation=notes.validation(results[0]),
        attention=seen,
        layers=[layer + 1 for layer in layers],
        colours=colours,
        example=details["example"],
        example_class=details["class_names"][details["example"]["label"]] if details["example"] else "",
        command=Markup("\n").join(map(printable, report.command.splitlines())),
        settings={key: grid_value(value) for key, value in report.settings.items()},
        data=_data(results),
        environment=_environment(results),
    )


def table_html(report: TableReport, tell: Callable[[str], None] | None = None) -> str:
    """The page of a comparison of runs out of a table: what `study_html` shows, as far as a table says it."""
    records, table = report.records, report.table
    lost: list[str] = []
    sized = any(record["parameters"] is not None for record in records)
    tradeoff = _drawn(lambda: _tradeoff(records, "parameters", f"{table_line(table)}."), lost) if sized else None
    if lost and tell is not None:
        tell(f"pictures are missing in the report: {lost[0]}")
    compared = [record for record in records if record["difference_mean"] is not None]
    data = [("runs of", table.source), ("which is", table.shape), ("read as", table.form)]
    return page(
        "study.html.j2",
        title=f"{ScoreFormat.of(records).metric}: {', '.join(record['variant'] for record in records)}",
        question=QUESTION if sized else "What do these variants cost?",
        rows=[row_name(record) for record in records],
        compared=[row_name(record) for record in compared],
        answer=answer(records),
        notes=[*table.notes, *([f"Pictures are missing: {lost[0]}"] if lost else [])],
        comparison=_grid(compare_table(records)),
        comparison_notes=table_caption(records, table),
        statistics=_grid(FittedTable(compared, _statistics(compared))) if compared else None,
        reference=reference_name(records),
        statistics_notes=_statistics_notes(records),
        counts=None,
        groups=None,
        metric=ScoreFormat.of(records).metric,
        over="parameters",
        tradeoffs=[] if tradeoff is None else [tradeoff],
        curves=[],
        classes=None,
        lost=[],
        agreement=None,
        validation="",
        attention=(),
        layers=[],
        colours=(),
        example=None,
        example_class="",
        command=Markup("\n").join(map(printable, report.command.splitlines())),
        settings={},
        data=[*data, *([("SHA-256", report.digest)] if report.digest is not None else [])],
        environment=[],
    )


_T = TypeVar("_T")


def _drawn(draw: Callable[[], _T], lost: list[str]) -> _T | None:
    """What `draw` returns; None where that fails, for a reason that is then in `lost`."""
    try:
        with drawing("a picture of the report"):
            return draw()
    except (InputError, MachineError) as error:
        lost.append(str(error))
        return None


def answer(records: Sequence[Compared]) -> list[str]:
    """The question's answer in sentences, as far as the records bear it out."""
    others = [record for record in records if record["difference_mean"] is not None]
    if not others:
        return [f"Nothing was compared: {reference_name(records)} was not trained, or is the only variant."]
    sentences = _smallest(others)
    judged = [record for record in others if record["not_worse"] is not None]
    if not judged:
        return sentences or [f"{counted(len(others), 'variant')} compared with {reference_name(records)}: see below."]
    than = f"than {reference_name(records)} by more than {ScoreFormat.of(records).margin(judged[0]['margin'] or 0.0)}"
    meaning = {"yes": f"Not worse {than}", "undecided": f"Undecided whether worse {than}", "no": f"Worse {than}"}
    for verdict, text in meaning.items():
        names = [_with_share(record) for record in judged if record["not_worse"] == verdict]
        if names:
            sentences.append(f"{text}: {'; '.join(names)}.")
    return sentences


def _smallest(records: Sequence[Compared]) -> list[str]:
    """What the smallest model saves and costs, where shares are known."""
    known = [record for record in records if record["share_of_baseline"] is not None]
    if not known:
        return []
    least = min(known, key=lambda record: record["share_of_baseline"] or 0.0)
    share, score = least["share_of_baseline"], ScoreFormat.of(records)
    unit = " points" if score.in_percent else ""
    difference = f"its {score.name} differs from {reference_name(records)}'s by "
    difference += f"{score.difference(least['difference_mean'])}{unit}"
    if least["difference_low"] is None or least["difference_high"] is None:
        said = "one seed, so nothing can be said about how sure that is"
    else:
        low, high = score.difference(least["difference_low"]), score.difference(least["difference_high"])
        said = f"{100 * least['confidence']:g} % interval {low} to {high}"
    opening = "" if least["variant"] == BASELINE else "The greatest saving: "
    of = "the baseline" if least["kind"] != "table" else printable(starred(records))
    return [f"{opening}{row_name(least)} has {percent(share)} % of {of}'s parameters; {difference} ({said})."]


def _with_share(record: Compared) -> str:
    share = record["share_of_baseline"]
    return row_name(record) if share is None else f"{row_name(record)} ({percent(share)} % of the parameters)"


def _grid(table: Output, swept: Sequence[Compared] = ()) -> Grid:
    """The cells of a table that is not to be printed on a console, with columns for what `swept` sweeps."""
    assert isinstance(table, FittedTable), "text was not asked for"
    return fit(table.records, with_grid(table.columns, swept), None, gap=1)[0]


def _statistics(records: Sequence[Compared]) -> list[Column]:
    score = ScoreFormat.of(records)
    columns = [
        Column("variant", lambda record: record["variant"], right=False, name=True),
        Column("seeds", lambda record: integer(record["num_seeds"])),
        Column(score.heading, lambda record: score.difference(record["difference_mean"])),
        Column(f"{100 * records[0]['confidence']:g} % interval", partial(_interval, score)),
        Column("p", lambda record: p_value(record["p_value"])),
        Column("p (Holm)", lambda record: p_value(record["p_value_holm"])),
    ]
    if any(record["margin"] is not None for record in records):
        columns += [
            Column("not worse", lambda record: record["not_worse"] or ABSENT, right=False),
            Column(
                "seeds to decide", lambda record: integer(record["seeds_needed"]) if record["seeds_needed"] else ABSENT
            ),
        ]
    return columns


def _statistics_notes(records: Sequence[Compared]) -> list[str]:
    score = ScoreFormat.of(records)
    if all(record["difference_low"] is None for record in records):
        return ["No spread is known: nothing can be said about the significance of a difference."]
    apart = records[0].get("paired") is False
    seed = ", over runs that nothing pairs" if apart else " with the same seed"
    how = "Welch's t interval" if apart else "mean over seeds with the t interval of the paired differences"
    lines = [
        f"Difference: {score.name} less {reference_name(records)}'s{seed}, in {score.unit}; "
        f"{how}. p: two-sided {'Welch' if apart else 'paired'} t test; Holm: corrected for the number of rows. "
        "A large p is no proof of no difference."
    ]
    margin = next((record["margin"] for record in records if record["margin"] is not None), None)
    if margin is not None:
        end, side, other = (margin, "below", "above") if score.lower else (-margin, "above", "below")
        lines.append(
            f"Not worse: than {reference_name(records)} by more than {score.margin(margin)}; yes if the whole interval "
            f"lies {side} {score.difference(end)}, no if {other}, else undecided."
        )
    return lines


def _interval(score: ScoreFormat, record: Compared) -> str:
    if record["difference_low"] is None or record["difference_high"] is None:
        return ABSENT
    return f"[{score.difference(record['difference_low'])}, {score.difference(record['difference_high'])}]"


def _groups(records: Sequence[CompareRecord]) -> Picture:
    alt = "Stacked bars: parameters of every row by group; the numbers are in the table below."
    return Picture(Markup(inline_svg(groups_figure(records), "groups", alt)), notes.PARAMETERS)  # noqa: S704


def _tradeoffs(records: Sequence[CompareRecord], results: Sequence[ResultRecord]) -> list[Picture]:
    line = study_line(results)
    devices = "; ".join(sorted({notes.machine(result["environment"]) for result in results}))
    timed = f"Seconds of training steps per epoch, mean over runs ({devices}); runs side by side slow each other."
    return [_tradeoff(records, "parameters", f"{line}."), _tradeoff(records, "seconds", f"{line}. {timed}")]


def _tradeoff(records: Sequence[Compared], cost: Literal["parameters", "seconds"], caption: str) -> Picture:
    score = ScoreFormat.of(records)
    best = (min if score.lower else max)(records, key=lambda record: record["val_score_mean"])
    told = f"best: {printable(row_name(best))} with {score.with_sign(best['val_score_mean'])}"
    alt = f"{score.name} over {cost}, a point a row with its name, and the Pareto front; {told}."
    alt = f"{alt[:1].upper()}{alt[1:]}"
    return Picture(Markup(inline_svg(compare_figure(records, cost=cost), f"over-{cost}", alt)), caption)  # noqa: S704


def _curves(report: StudyReport) -> list[Picture]:
    seeds = len({result["seed"] for result in report.results})
    meaning = f"mean over {seeds} seeds, band from the lowest to the highest of them" if seeds > 1 else "one seed"
    pictures: list[Picture] = []
    for i, (what, figure) in enumerate(learning_figures(report.records, report.details["runs"]).items()):
        alt = f"Curves over epochs: {what} of {counted(len(report.records), 'row')}."
        caption = f"{what[:1].upper()}{what[1:]} at the end of each epoch: {meaning}."
        pictures.append(Picture(Markup(inline_svg(figure, f"curves{i}", alt)), caption))  # noqa: S704
    return pictures


def _validation(data: Mapping[str, Any]) -> str:
    if data["validation"] == "test":
        return "the test set"
    return "a set of its own" if data["own_val"] else "examples held out of the training set"


def _data(results: Sequence[ResultRecord]) -> list[tuple[str, str]]:
    data = results[0]["data"]
    sizes = [f"{integer(int(data[f'num_{split}']))} {name}" for split, name in _SPLITS.items() if data[f"num_{split}"]]
    return [
        ("data set", str(data["title"])),
        ("examples", ", ".join(sizes)),
        ("validation on", _validation(data)),
        ("fingerprint (SHA-256)", str(data["fingerprint"])),
    ]


_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def _environment(results: Sequence[ResultRecord]) -> list[tuple[str, list[str]]]:
    """Every entry of the runs' environments: its value, or where runs differ each value with the runs that have it."""
    lines: list[tuple[str, list[str]]] = []
    for key in dict.fromkeys(key for result in results for key in result["environment"]):
        by_value: dict[str, list[str]] = {}
        for result in results:
            value = str(result["environment"].get(key, ABSENT))
            by_value.setdefault(value, []).append(f"{row_name(result)}, seed {result['seed']}")
        lines.append((key, _shared(by_value)))
    return lines


def _shared(by_value: Mapping[str, Sequence[str]]) -> list[str]:
    if len(by_value) == 1:
        return list(by_value)
    most = max(by_value, key=lambda value: len(by_value[value]))
    return [
        f"{value}: {'the other runs' if value == most else '; '.join(runs)} ({len(runs)})"
        for value, runs in sorted(by_value.items(), key=lambda item: item[0] == most)
    ]
