"""The pictures: accuracy over parameters with its Pareto front, and a confusion matrix.

Matplotlib is imported when a picture is drawn; figures are made without pyplot, so that nothing global changes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from minform_cli.config.names import BASELINE
from minform_cli.errors import InputError, counted
from minform_cli.files import write_atomic
from minform_cli.report.drawing import check_matplotlib, drawing
from minform_cli.report.fit import printable, shortened
from minform_cli.report.grid import row_name
from minform_cli.report.marks import Mark, point_says
from minform_cli.report.numbers import integer, percent
from minform_cli.report.plot_labels import place_labels
from minform_cli.report.records import Compared
from minform_cli.report.score import ScoreFormat
from minform_cli.runs.records import EvaluationRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")

FRONT, DOMINATED, BASELINE_COLOUR, _ERROR = "#0072B2", "#E69F00", "#D55E00", "#7F7F7F"
"""Okabe and Ito's colours, told apart by people with any common colour blindness."""

GRID = "#DDDDDD"
"""Colour of the lines behind the points."""

_COSTS = {"parameters": ("parameters", ""), "seconds": ("seconds of training per epoch", "s")}
"""What a variant can cost: its name on the axis, and its unit."""

_LOG_SPAN = 3.0
"""Ratio of the largest to the smallest cost from which the axis is logarithmic."""

_CELL_NUMBERS = 20
"""Up to so many classes the confusion matrix carries its numbers and names."""


def check_plot_path(path: Path) -> None:
    """Finds out before any work is done whether a picture can be written to `path`.

    Raises:
        InputError: the suffix is unknown, the folder is not there, or matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--plot {path}: unknown suffix {path.suffix!r}; accepted: {', '.join(SUFFIXES)}")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"--plot {path}: {'is a folder' if path.is_dir() else f'there is no folder {path.parent}'}")
    check_matplotlib("--plot")


def plot_compare(records: Sequence[Compared], path: Path, caption: str = "") -> None:
    """Draws the validation score over parameters: mean and sample standard deviation, names, Pareto front.

    Args:
        records: one a variant.
        path: picture to write; its suffix says the format.
        caption: line below the axes: data set, epochs, seeds.

    Raises:
        InputError: see `check_plot_path`.
        MachineError: the picture cannot be drawn, or the file cannot be written.
    """
    check_plot_path(path)
    with drawing(str(path)):
        save(compare_figure(records, caption), path)


def compare_figure(
    records: Sequence[Compared], caption: str = "", cost: Literal["parameters", "seconds"] = "parameters"
) -> Figure:
    """The picture of `plot_compare`, over what a variant has in parameters or takes in seconds per epoch.

    What is not known of a table's variants has no place in it.
    """
    records = [record for record in records if cost != "parameters" or record["parameters"] is not None]
    figure = new_figure(8.0, 5.6)
    axes = figure.add_subplot()
    score = ScoreFormat.of(records)
    x = [_cost(record, cost) for record in records]
    y = [score.plotted(record["val_score_mean"]) for record in records]
    spread = [score.plotted(record["val_score_std"] or 0.0) for record in records]
    front = pareto_front(x, [-value for value in y] if score.lower else y)
    star = starred(records)
    steps = _steps([(x[i], y[i]) for i in front])
    axes.plot(*zip(*steps, strict=True), color=FRONT, linewidth=1, linestyle="--", zorder=1)
    for i, record in enumerate(records):
        marker, size = ("*", 170) if record["variant"] == star else ("o", 46)
        colour = BASELINE_COLOUR if record["variant"] == star else FRONT if i in front else DOMINATED
        look: dict[str, Any] = {"color": colour, "edgecolors": "white", "linewidths": 0.8}
        point, name = axes.scatter(x[i], y[i], marker=marker, s=size, zorder=3, **look), row_name(record)
        point.set_gid(Mark(f"point-{i}", name, point_says(record, cost, score)))
        if spread[i]:
            bar = axes.errorbar(
                x[i], y[i], yerr=spread[i], fmt="none", ecolor=_ERROR, elinewidth=1, capsize=3, zorder=2
            )
            for j, line in enumerate(bar.get_children()):
                line.set_gid(Mark(f"error-{i}-{j}", name))
    cost_axis(axes, x, *_COSTS[cost])
    axes.set_ylabel(score.axis, parse_math=False)
    preset = records[0].get("preset")
    opening = "" if preset is None else f"{shortened(preset, 48)}: "
    axes.set_title(f"{opening}{shortened(score.plain, 32)} over {_COSTS[cost][0]}", parse_math=False)
    axes.margins(x=0.12, y=0.15)
    axes.grid(visible=True, which="major", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    _key(axes, front, records)
    _caption(figure, caption)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # names are placed for exactly this layout
    labels = [printable(row_name(record)) for record in records]
    for i, drawn in enumerate(place_labels(axes, x, y, spread, labels, steps)):
        for j, artist in enumerate(drawn):
            artist.set_gid(Mark(f"name-{i}-{j}", labels[i]))
    return figure


def plot_confusion(record: EvaluationRecord, path: Path) -> None:
    """Draws the confusion matrix: rows are the true classes, shades the share of each row.

    Raises:
        InputError: see `check_plot_path`.
        MachineError: the picture cannot be drawn, or the file cannot be written.
    """
    check_plot_path(path)
    with drawing(str(path)):
        save(confusion_figure(record), path)


def confusion_figure(record: EvaluationRecord) -> Figure:
    """The picture of `plot_confusion`."""
    import numpy as np

    counts = np.asarray(record["confusion"], dtype=float)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    num = len(counts)
    side = min(max(5.2, 0.48 * num + 2.2), 11.0)
    figure = new_figure(side + 0.9, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100)
    if num <= _CELL_NUMBERS:
        names = [printable(name) for name in record["class_names"]]
        axes.set_xticks(range(num), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(num), names, parse_math=False)
        for i, j in np.ndindex(num, num):
            if counts[i, j]:
                colour = "black" if shares[i, j] > 55 else "white"
                axes.text(j, i, integer(int(counts[i, j])), ha="center", va="center", fontsize=7, color=colour)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(
        f"{shortened(record['variant'], 32)} on {shortened(record['data'], 32)} ({record['split']})", parse_math=False
    )
    figure.colorbar(image, ax=axes, label="share of the true class in %", shrink=0.8)
    accuracy = f"accuracy {percent(record['measured']['accuracy'])} %, {counted(record['num_examples'], 'example')}"
    _caption(figure, f"preset {record['preset']}, seed {record['seed']}, {record['checkpoint']} checkpoint; {accuracy}")
    return figure


def _cost(record: Compared, cost: Literal["parameters", "seconds"]) -> float:
    size = record["parameters"] if cost == "parameters" else record.get("seconds_per_epoch_mean")
    assert size is not None, "a variant without parameters is not drawn"
    return size


def starred(records: Sequence[Compared]) -> str:
    """The variant that a picture marks: the baseline, or where a table has none its reference."""
    return next((BASELINE for record in records if record["variant"] == BASELINE), records[0]["reference"])


def pareto_front(sizes: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Indices of the points that no other beats (smaller is better in size, larger in score), by size."""
    front: list[int] = []
    for i in sorted(range(len(sizes)), key=lambda i: (sizes[i], -scores[i])):
        if not front or scores[i] > scores[front[-1]]:
            front.append(i)
    return front


def _steps(front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Corners of the front as stairs: what can be reached with at most so many parameters."""
    corners = [front[0]]
    for x, y in front[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return corners


def new_figure(width: float, height: float) -> Figure:
    """A figure of `width` x `height` inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def cost_axis(axes: Axes, values: Sequence[float], name: str, unit: str) -> None:
    """Makes the horizontal axis one of a cost: logarithmic where the `values` ask for it, with decimal prefixes."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    log = max(values) > _LOG_SPAN * min(values)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(EngFormatter(unit, sep=" " if unit else ""))
    axes.set_xlabel(f"{name}{' (logarithmic)' if log else ''}")


def _key(axes: Axes, front: Sequence[int], records: Sequence[Compared]) -> None:
    """What the colours and marks mean, below the axes' title, out of the way of the points."""
    from matplotlib.lines import Line2D

    def mark(label: str, colour: str, marker: str, size: int, line: Any = "") -> Line2D:
        return Line2D([], [], color=colour, marker=marker, markersize=size, linestyle=line, linewidth=1, label=label)

    entries = [mark("Pareto front", FRONT, "o", 6, "--")]
    if len(front) < len(records):
        entries.append(mark("not on the front", DOMINATED, "o", 6))
    star, star_at = starred(records), len(entries)
    stars = [record for record in records if record["variant"] == star]
    if stars:
        entries.append(mark(shortened(star, 24), BASELINE_COLOUR, "*", 11))
    if any(record["val_score_std"] for record in records):
        entries.append(mark("± sample std", _ERROR, "|", 9))
    figure = axes.figure
    legend = figure.legend(handles=entries, loc="outside upper right", ncols=len(entries), fontsize=8, frameon=False)
    if len(stars) == 1:  # of a grid's baselines none is the one that is meant
        for part, drawn in (("key", legend.legend_handles), ("legend", legend.get_texts())):
            artist = drawn[star_at]
            if artist is not None:
                artist.set_gid(Mark(f"{part}-{star_at}", row_name(stars[0])))


def _caption(figure: Figure, text: str) -> None:
    if text:
        figure.supxlabel(text, fontsize=8, color="#444444", parse_math=False)


def save(figure: Figure, path: Path) -> None:
    """Writes the figure without dates, so that equal results give equal bytes."""
    import matplotlib

    suffix = path.suffix.lower()
    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}[suffix]
    data = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "minform", "pdf.fonttype": 42}):
        figure.savefig(data, format=suffix[1:], metadata=metadata)
    write_atomic(path, data.getvalue())
