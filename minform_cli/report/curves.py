"""Pictures of a study: how the runs learned, and which group of parameters is how large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from minform_cli.counting.records import GROUPS, CountRecord
from minform_cli.report.drawing import drawing
from minform_cli.report.fit import printable
from minform_cli.report.grid import row_name
from minform_cli.report.marks import Mark, curve_points
from minform_cli.report.numbers import integer, metric_axis, percent
from minform_cli.report.plots import GRID, check_plot_path, new_figure, save
from minform_cli.report.records import CompareRecord, LearningCurve, RunDetails

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours without black and yellow, which vanish on dark and on light paper.
PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES = ("-", "--", "-.", ":")
_BASELINE_GREY = "#8C8C8C"

MAX_TOGETHER = 8
"""Up to so many curves share a panel; more get a panel each."""

_PANELS_PER_ROW = 4

Metric = Literal["train_loss", "val_loss", "val_score"]
_TITLES = {"train_loss": "training loss", "val_loss": "validation loss", "val_score": "validation {metric}"}
_LEGEND_WIDTH = 120
"""About how many characters go into a line of the legend."""

_LONGEST = 56
"""Characters of a row's name in a picture; the tables have all of them."""

_FEW_EPOCHS = 12
"""Up to so many epochs are marked by a dot each."""


@dataclass(frozen=True)
class Band:
    """One row's metric over epochs: mean, least and largest over the seeds that reached the epoch."""

    name: str
    metric: Metric
    epochs: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


def bands(records: Sequence[CompareRecord], runs: Sequence[RunDetails], metric: Metric) -> list[Band]:
    """One band a row that has curves, in the order of `records`; scores in percent."""
    found = [
        _band(row_name(record), [run["curve"] for run in runs if row_name(run) == row_name(record)], metric)
        for record in records
    ]
    return [band for band in found if band.epochs]


def learning_figures(records: Sequence[CompareRecord], runs: Sequence[RunDetails]) -> dict[str, Figure]:
    """Losses and validation score over epochs: side by side in one picture, or a picture each for many rows.

    The validation loss is among them where tokens are predicted, as it says more of them than the share that is right.

    Returns:
        What the picture shows -> the picture; empty if no run has a curve.
    """
    shown: tuple[Metric, ...] = ("train_loss", "val_score")
    if records[0]["val_score_low"] is None:
        shown = ("train_loss", "val_loss", "val_score")
    titles: dict[Metric, str] = {
        metric: _TITLES[metric].format(metric=metric_axis(records[0]["metric"])) for metric in shown
    }
    drawn: dict[Metric, list[Band]] = {metric: bands(records, runs, metric) for metric in shown}
    num = len(drawn["val_score"])
    if not num:
        return {}
    if num <= MAX_TOGETHER:
        named = [title.removesuffix(" in %") for title in titles.values()]
        return {" and ".join([", ".join(named[:-1]), named[-1]]): _together(drawn, titles)}
    references = {printable(row_name(record)): _baseline_name(record, records) for record in records}
    return {titles[metric].removesuffix(" in %"): _apart(drawn[metric], titles[metric], references) for metric in drawn}


def plot_counts(records: Sequence[CountRecord], path: Path) -> None:
    """Draws `groups_figure` to `path`; its suffix says the format.

    Raises:
        InputError: see `plots.check_plot_path`.
        MachineError: the picture cannot be drawn, or the file cannot be written.
    """
    check_plot_path(path)
    with drawing(str(path)):
        save(groups_figure(records), path)


def groups_figure(records: Sequence[CountRecord]) -> Figure:
    """Parameters of every row by group, as stacked bars."""
    from matplotlib.ticker import EngFormatter

    figure = new_figure(8.0, 1.3 + 0.32 * len(records))
    axes = figure.add_subplot()
    places = range(len(records))
    left = [0] * len(records)
    for group, colour in zip(GROUPS, PALETTE, strict=True):
        widths = [record["groups"][group] for record in records]
        bars = axes.barh(places, widths, left=left, color=colour, edgecolor="white", linewidth=0.6, label=_label(group))
        for i, (record, bar) in enumerate(zip(records, bars, strict=True)):
            share = percent(widths[i] / record["parameters"])
            says = f"{_label(group)}: {integer(widths[i])} parameters ({share} % of its own)"
            bar.set_gid(Mark(f"{group}-{i}", row_name(record), says))
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, total in zip(places, left, strict=True):
        text = axes.text(total, place, f" {integer(total)}", va="center", ha="left", fontsize=8)
        text.set_gid(Mark(f"total-{place}", row_name(records[place])))
    axes.set_yticks(places, [_shown(row_name(record)) for record in records], fontsize=8, parse_math=False)
    for i, label in enumerate(axes.get_yticklabels()):
        label.set_gid(Mark(f"name-{i}", row_name(records[i])))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.16 * max(left))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("parameters")
    _quiet(axes, "x")
    figure.legend(loc="outside upper center", ncols=len(GROUPS), fontsize=8, frameon=False, columnspacing=1.2)
    return figure


def _band(name: str, curves: Sequence[LearningCurve | None], metric: Metric) -> Band:
    scale = 100 if metric == "val_score" else 1
    by_epoch: dict[int, list[float]] = {}
    for curve in curves:
        if curve is not None:
            for epoch, value in zip(curve["epoch"], curve[metric], strict=True):
                by_epoch.setdefault(epoch, []).append(scale * value)
    seen = [by_epoch[epoch] for epoch in sorted(by_epoch)]
    mean = [sum(values) / len(values) for values in seen]
    return Band(
        printable(name), metric, sorted(by_epoch), mean, [min(values) for values in seen], [max(v) for v in seen]
    )


def _together(drawn: Mapping[Metric, Sequence[Band]], titles: Mapping[Metric, str]) -> Figure:
    num = len(drawn["val_score"])
    longest = max(len(_shown(band.name)) for band in drawn["val_score"])
    columns = min(num, max(1, _LEGEND_WIDTH // (longest + 8)))
    figure = new_figure(9.0, 4.2 + 0.2 * -(-num // columns))
    for axes, (metric, of_rows) in zip(figure.subplots(1, len(drawn)), drawn.items(), strict=True):
        for i, (band, colour, style) in enumerate(zip(of_rows, cycle(PALETTE), _styles(num), strict=False)):
            _draw(axes, band, (colour, style), Mark(f"{metric}-{i}", band.name, titles[metric]))
        axes.set_title(titles[metric], fontsize=10)
        axes.set_xlabel("epoch")
        _epochs(axes)
        _quiet(axes, "both")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    for i, (handle, text) in enumerate(zip(legend.legend_handles, legend.get_texts(), strict=True)):
        text.set_parse_math(False)
        name = drawn["train_loss"][i].name
        text.set_gid(Mark(f"legend-{i}", name, "its curves"))
        if handle is not None:
            handle.set_gid(Mark(f"key-{i}", name))
    return figure


def _apart(of_rows: Sequence[Band], title: str, references: Mapping[str, str]) -> Figure:
    """A panel a row, all with the same axes, the baseline of the same grid point behind it."""
    by_name = {band.name: band for band in of_rows}
    lines = -(-len(of_rows) // _PANELS_PER_ROW)
    figure = new_figure(9.0, 0.7 + 1.75 * lines)
    panels = figure.subplots(lines, _PANELS_PER_ROW, sharex=True, sharey=True, squeeze=False).flat
    for axes in panels:
        axes.set_visible(False)
    for i, (axes, band) in enumerate(zip(figure.axes, of_rows, strict=False)):
        axes.set_visible(True)
        axes.set_gid(Mark(f"panel-{i}", band.name, panel=True))
        axes.title.set_gid(Mark(f"title-{i}", band.name))
        reference = by_name.get(references[band.name])
        if reference is not None and reference is not band:
            (line,) = axes.plot(reference.epochs, reference.mean, color=_BASELINE_GREY, linewidth=1, linestyle="--")
            line.set_gid(Mark(f"reference-{i}", reference.name))
        _draw(axes, band, (PALETTE[1], "-"), Mark(f"curve-{i}", band.name, title))
        axes.set_title(_in_lines(_shown(band.name)), fontsize=7, parse_math=False)
        axes.tick_params(labelsize=7, labelbottom=True)
        _epochs(axes)
        _quiet(axes, "both")
    figure.supxlabel("epoch; dashed grey: the baseline at the same grid point", fontsize=8)
    figure.supylabel(title, fontsize=8)
    return figure


def _draw(axes: Axes, band: Band, look: tuple[str, str], mark: Mark) -> None:
    """The curve in a colour and a line style, and its band; `mark` without what its points say."""
    (colour, style), marker = look, "o" if len(band.epochs) <= _FEW_EPOCHS else ""
    (line,) = axes.plot(
        band.epochs,
        band.mean,
        color=colour,
        linestyle=style,
        linewidth=1.5,
        marker=marker,
        ms=3,
        label=_shown(band.name),
    )
    line.get_path().should_simplify = False  # the page's script finds the epochs by the corners of the line
    says = curve_points(band.epochs, band.mean, band.low, band.high, 2 if band.metric == "val_score" else 4)
    line.set_gid(Mark(mark, mark.row, mark.says, says))
    if band.low != band.high:
        drawn = axes.fill_between(band.epochs, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
        drawn.set_gid(Mark(f"{mark}-band", mark.row))


def _styles(num: int) -> list[str]:
    """A line style a curve: the colours are used up before the style changes, yet no two neighbours look alike."""
    return [_STYLES[(i + i // len(PALETTE)) % len(_STYLES)] for i in range(num)]


def _epochs(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))


def _quiet(axes: Axes, which: Literal["x", "both"]) -> None:
    """Lines to read values by, and no frame where there is nothing to read."""
    axes.grid(visible=True, axis=which, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _shown(name: str) -> str:
    """`name` as a picture has room for it: of a very long one, its beginning and its end."""
    name = printable(name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 2 + 1 :]}"


def _in_lines(name: str, limit: int = 30) -> str:
    """`name` over several lines, broken after commas and before plus signs."""
    lines = [""]
    for piece in name.replace(", ", ", \0").replace("+", "\0+").split("\0"):
        if lines[-1] and len(lines[-1] + piece) > limit:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.strip() for line in lines)


def _baseline_name(record: CompareRecord, records: Sequence[CompareRecord]) -> str:
    same = [r for r in records if r["variant"] == "baseline" and r.get("grid", {}) == record.get("grid", {})]
    return printable(row_name(same[0])) if same else ""


def _label(group: str) -> str:
    return {"query_key": "query-key", "value_output": "value-output", "mlp": "MLP"}.get(group, group)
