"""The pictures of `reduce`: what is left and how wrong it is, layer by layer; and the curve over several budgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from minform_cli.reducing.records import ReduceRecord
from minform_cli.report.curves import PALETTE
from minform_cli.report.fit import shortened
from minform_cli.report.numbers import integer, metric_axis
from minform_cli.report.plot_labels import place_labels
from minform_cli.report.plots import GRID, new_figure
from minform_cli.report.reduce_table import COSINE, PARTS, curve_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLES = {"query_key": "query, key", "value_output": "value, output", "mlp": "MLP"}

_COLOURS = dict(zip((*PARTS, "output"), (*PALETTE[:3], "#7F7F7F"), strict=True))
"""Group of a block's numbers, and what the block gives."""

_WIDTH = 0.8
"""Of the bars of a layer, together."""

_LOG_SPAN = 5.0
"""Ratio of the largest error to the smallest from which their axis is logarithmic."""

_NAME = 36
"""Characters of a name in a title: two fit."""

_EVERY = 16
"""Up to so many layers all are numbered."""


def layers_figure(record: ReduceRecord) -> Figure:
    """Numbers left of each group, and the errors there, over the layers; one layer at least."""
    layers = record["layers"]
    figure = new_figure(8.0, 5.6)
    left, errors = figure.subplots(2, 1, sharex=True)
    places = list(range(len(layers)))
    groups = [group for group in PARTS if any(layer["before"][group] for layer in layers)]
    for number, group in enumerate(groups):
        shares = [
            100 * layer["after"][group] / layer["before"][group] if layer["before"][group] else 0.0 for layer in layers
        ]
        width = _WIDTH / len(groups)
        at = [place + (number - (len(groups) - 1) / 2) * width for place in places]
        left.bar(at, shares, width=width, color=_COLOURS[group], label=_TITLES[group])
        _error_line(errors, record, PARTS[group], _COLOURS[group], f"{_TITLES[group]}: {PARTS[group]}")
    _error_line(errors, record, "output", _COLOURS["output"], "the block's output, all reduced")
    left.set_ylabel("numbers left in %")
    title = f"{shortened(record['preset'], _NAME)}, {shortened(record['variant'], _NAME)}: layer by layer"
    figure.suptitle(title, parse_math=False)
    left.set_ylim(0, max(105.0, left.get_ylim()[1]))
    errors.set_ylabel("relative squared error")
    errors.set_xlabel("layer")
    names = [_name(record, place) for place in places]
    step = -(-len(places) // _EVERY)
    errors.set_xticks(places[::step], names[::step])
    for axes in (left, errors):
        axes.grid(visible=True, axis="y", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, ncols=len(groups), frameon=False)
    if errors.lines:
        drawn = [value for line in errors.lines for value in cast("list[float]", list(line.get_ydata()))]
        values = [value for value in drawn if not math.isnan(value)]
        if max(values) > _LOG_SPAN * min(values):
            errors.set_yscale("log")
        else:
            errors.set_ylim(0, 1.1 * max(values))
        errors.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, ncols=4, frameon=False)
    return figure


def _name(record: ReduceRecord, place: int) -> str:
    layer = record["layers"][place]
    several = len({each["stack"] for each in record["layers"]}) > 1
    return f"{layer['stack'][0].upper()}{layer['layer']}" if several else str(layer["layer"])


def _error_line(axes: Axes, record: ReduceRecord, name: str, colour: str, label: str) -> None:
    """The error over the layers; the line is broken where a layer has none."""
    found = [layer["errors"].get(name) or math.nan for layer in record["layers"]]
    if not all(map(math.isnan, found)):
        axes.plot(range(len(found)), found, color=colour, marker="o", ms=4, linewidth=1.4, label=label)


def curve_figure(records: Sequence[ReduceRecord]) -> Figure:
    """The metric over the parameters that are left, the original included; intervals where samples give them."""
    from matplotlib.ticker import EngFormatter

    measure = records[0]["measure"]
    assert measure is not None, "without a metric there is no curve"
    scale = 1.0 if measure["metric"] == COSINE else 100.0
    rows = sorted(curve_rows(records), key=lambda row: row["count"]["parameters"])
    figure = new_figure(8.0, 4.6)
    axes = figure.add_subplot()
    x = [row["count"]["parameters"] for row in rows]
    y = [scale * row["score"] for row in rows]
    axes.plot(x, y, color=PALETTE[1], marker="o", ms=5, linewidth=1.5, zorder=2)
    for row in rows:
        if row["low"] is not None:
            ends = (scale * row["low"], scale * row["high"])
            axes.vlines(row["count"]["parameters"], *ends, color="#7F7F7F", linewidth=1.2, zorder=1)
        if row["variant"] == "original":
            place = (row["count"]["parameters"], scale * row["score"])
            axes.scatter(*place, marker="*", s=170, color=PALETTE[0], zorder=3)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("parameters of the whole model")
    axes.set_ylabel("mean cosine to the original" if measure["metric"] == COSINE else metric_axis(measure["metric"]))
    axes.set_title(f"{shortened(records[0]['preset'], _NAME)}: what a reduction costs", parse_math=False)
    axes.margins(x=0.14, y=0.22)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # names are placed for exactly this layout
    spread = [0.0 if row["low"] is None else scale * (row["high"] - row["low"]) / 2 for row in rows]
    names = [f"{row['variant'].removeprefix('reduced-')}: {integer(row['count']['parameters'])}" for row in rows]
    place_labels(axes, x, y, spread, names, list(zip(x, y, strict=True)))
    return figure
