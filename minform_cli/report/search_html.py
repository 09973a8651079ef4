"""The report of a search as one HTML page that needs nothing else: no file, no font, no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from minform_cli.errors import InputError, MachineError, counted
from minform_cli.report.drawing import drawing
from minform_cli.report.fit import Column, Grid, fit
from minform_cli.report.html import QUESTION, Picture
from minform_cli.report.numbers import integer, metric_axis, metric_name, percent, with_sign
from minform_cli.report.page import page
from minform_cli.report.plots import (
    BASELINE_COLOUR,
    DOMINATED,
    FRONT,
    GRID,
    check_plot_path,
    cost_axis,
    new_figure,
    save,
)
from minform_cli.report.records import SearchRecord, TrialRecord
from minform_cli.report.search_table import (
    IMPORTANCE_COLUMNS,
    choice,
    importance_rows,
    ranked,
    search_caption,
    short,
    trial_columns,
)
from minform_cli.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEXT = 9.0
"""Characters of an axis' names, in points."""


def search_html(record: SearchRecord, tell: Callable[[str], None] | None = None) -> str:
    """The page; without the picture that cannot be drawn, for which it says why.

    Args:
        record: of the search.
        tell: is told why the picture is missing.
    """
    trials = ranked(record["trials"])
    pictures, missing = _pictures(record)
    if missing and tell is not None:
        tell(missing)
    stopped = [trial for trial in trials if trial["state"] != "trained"]
    importance = importance_rows(record)
    return page(
        "search.html.j2",
        title=f"{record['preset']}: what {record['budget']} of the parameters can do",
        question=QUESTION,
        answer=_answer(record),
        notes=[missing] if missing else [],
        pictures=pictures,
        front=_grid([trial for trial in trials if trial["front"]], trial_columns(record)),
        trained=_grid([t for t in trials if t["state"] == "trained" and not t["front"]], trial_columns(record)),
        stopped=_grid(stopped, trial_columns(record)),
        importance=_grid(importance, IMPORTANCE_COLUMNS),
        importance_epochs=counted(record["importance_epochs"] or 1, "epoch"),
        metric=metric_name(record["metric"]),
        choices=[(short(key), ", ".join(map(choice, values))) for key, values in record["choices"].items()],
        said=search_caption(record)[:2],
        proof=record["proof"],
        command=record["command"],
        facts=[("minform", record["minform"]), ("seed of every trial", str(record["seed"]))],
    )


def plot_search(record: SearchRecord, path: Path) -> None:
    """Draws the picture of the report to a file.

    Raises:
        InputError: the suffix is unknown, matplotlib is not installed, or no trial has a score yet.
        MachineError: the picture cannot be drawn, or the file cannot be written.
    """
    check_plot_path(path)
    if all(trial["score"] is None for trial in record["trials"]):
        raise InputError(f"--plot {path}: no trial has a score yet")
    with drawing(str(path)):
        save(search_figure(record), path)


def search_figure(record: SearchRecord) -> Figure:
    """The score over parameters: trained trials, their front, those that were stopped, and the budget."""
    figure = new_figure(8.0, 5.2)
    axes = figure.add_subplot()
    known = [trial for trial in record["trials"] if trial["score"] is not None]
    groups = (
        ("stopped early", [trial for trial in known if trial["state"] != "trained"], "#BBBBBB", "x", 28),
        (
            "trained",
            [trial for trial in known if trial["state"] == "trained" and not trial["front"]],
            DOMINATED,
            "o",
            38,
        ),
        ("front of the trained", [trial for trial in known if trial["front"]], FRONT, "o", 54),
    )
    for name, trials, colour, marker, size in groups:
        if trials:
            x, y = _places(trials)
            axes.scatter(x, y, s=size, color=colour, marker=marker, label=name, zorder=3)
    axes.axvline(record["limit"], color=BASELINE_COLOUR, linewidth=1, linestyle=":", label="budget")
    cost_axis(axes, [*_places(known)[0], record["limit"]], "parameters", "")
    axes.set_ylabel(f"validation {metric_axis(record['metric'])}", fontsize=_TEXT)
    axes.grid(visible=True, which="major", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper right", ncols=4, fontsize=8, frameon=False)
    return figure


def _places(trials: Sequence[TrialRecord]) -> tuple[list[float], list[float]]:
    return [float(trial["parameters"]) for trial in trials], [100 * (trial["score"] or 0.0) for trial in trials]


def _pictures(record: SearchRecord) -> tuple[list[Picture], str]:
    """The picture, or why there is none."""
    if all(trial["score"] is None for trial in record["trials"]):
        return [], ""
    alt = "The score of each trial over its parameters; the numbers are in the tables below."
    caption = "Validation, one seed; a stopped trial stands where it was after fewer epochs."
    try:
        with drawing("a picture of the report"):
            return [Picture(Markup(inline_svg(search_figure(record), "search", alt)), caption)], ""  # noqa: S704
    except (InputError, MachineError) as error:
        return [], f"the picture is missing in the report: {error}"


def _answer(record: SearchRecord) -> str:
    won = next((trial for trial in record["trials"] if trial["trial"] == record["winner"]), None)
    if won is None:
        return "No trial was trained to its end."
    score = with_sign(record["metric"], percent(won["score"]))
    return (
        f"The best of {counted(len(record['trials']), 'trial')} has {integer(won['parameters'])} parameters, "
        f"{percent(won['share'])} % of the baseline's, and {score} on the validation split (one seed, chosen for this "
        "score: the comparison below says what it is worth)."
    )


def _grid(rows: Sequence[object], columns: Sequence[Column]) -> Grid | None:
    return fit(rows, columns, None, gap=1)[0] if rows else None
