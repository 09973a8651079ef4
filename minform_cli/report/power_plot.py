"""The picture of `power`: the chance to decide over the number of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minform_cli.report.drawing import drawing
from minform_cli.report.plots import GRID, check_plot_path, new_figure, save
from minform_cli.report.records import PowerRecord

_LINES = {"finds_difference": ("#0072B2", "o"), "shows_not_worse": ("#D55E00", "s")}


def plot_power(records: Sequence[PowerRecord], seeds: int | None, path: Path) -> None:
    """Draws the curve, the chance that was asked for, and the least number of seeds that has it.

    Args:
        records: one a number of seeds.
        seeds: the least number that is enough, if there is one.
        path: picture to write; its suffix says the format.

    Raises:
        InputError: see `check_plot_path`.
        MachineError: the picture cannot be drawn, or the file cannot be written.
    """
    check_plot_path(path)
    with drawing(str(path)):
        first = records[0]
        figure = new_figure(7.0, 4.6)
        axes = figure.add_subplot()
        meanings = {
            "finds_difference": f"finds a difference of {first['difference'] or 0:g}",
            "shows_not_worse": f"shows: not worse by more than {first['margin'] or 0:g}",
        }
        numbers = [record["seeds"] for record in records]
        for key, (colour, marker) in _LINES.items():
            chances = [record[key] for record in records]
            if all(chance is not None for chance in chances):
                shown = [100 * (chance or 0.0) for chance in chances]
                axes.plot(numbers, shown, color=colour, marker=marker, markersize=4, linewidth=1.4, label=meanings[key])
        axes.axhline(100 * first["power"], color="#7F7F7F", linewidth=1, linestyle="--")
        if seeds is not None:
            axes.axvline(seeds, color="#7F7F7F", linewidth=1, linestyle=":", label=f"{seeds} seeds are enough")
        if numbers[-1] > 50:
            from matplotlib.ticker import ScalarFormatter

            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_ylim(0, 103)
        axes.set_xlabel("seeds of each variant")
        axes.set_ylabel("chance in %")
        axes.set_title(f"What seeds decide; paired differences deviate by {first['std']:.3g}", parse_math=False)
        axes.grid(visible=True, which="major", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(fontsize=8, loc="lower right")
        save(figure, path)
