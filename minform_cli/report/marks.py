"""Which row of the tables a part of a picture belongs to, and what it says when it is asked.

A picture stays what matplotlib draws: its artists' identifiers carry the row's name and the numbers, `svg.inline_svg`
writes them into the page, and the page's script finds them there. A charting library inlined would weigh more than all
the rest of the page, would draw nothing where scripts do not run, and the files of ``--plot`` would be drawn by other
code than the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Literal, Self

from minform_cli.report.fit import printable
from minform_cli.report.numbers import integer, percent, seconds
from minform_cli.report.records import Compared
from minform_cli.report.score import ScoreFormat

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Mark(str):
    """The identifier of an artist, unique in its figure, with what the page knows of it.

    Attributes:
        row: name of the row, as tables and pictures print it.
        says: its numbers, after the row's name; empty if it says nothing.
        points: what each point of a curve says, in its order.
        panel: whether it is a whole panel: hidden with its row, but not one of the things that are highlighted.
    """

    row: str
    says: str
    points: Sequence[str]
    panel: bool

    def __new__(cls, name: str, row: str, says: str = "", points: Sequence[str] = (), *, panel: bool = False) -> Self:
        """The identifier `name` with the attributes of those names."""
        mark = super().__new__(cls, name)
        mark.row, mark.says, mark.points, mark.panel = printable(row), says, points, panel
        return mark

    def opening(self, name: str) -> str:
        """The ``<g>`` that it stands for, with its title; `name` is that of the picture."""
        kind = "data-panel" if self.panel else "data-row"
        points = f' data-points="{escape("|".join(self.points))}"' if self.points else ""
        said = escape("\n".join([self.row, self.says, *self.points[-1:]]))
        title = f"<title>{said}</title>" if self.says else ""
        return f'<g id="{name}-{self}" {kind}="{escape(self.row)}"{points}>{title}'


def marks_of(figure: Figure) -> dict[str, Mark]:
    """All marks of a figure, by identifier."""
    found = [artist.get_gid() for artist in figure.findobj()]
    return {str(gid): gid for gid in found if isinstance(gid, Mark)}


def point_says(record: Compared, cost: Literal["parameters", "seconds"], score: ScoreFormat) -> str:
    """What a point of score over cost says: both with their spread, and the difference to the reference."""
    size, share = record["parameters"], record["share_of_baseline"]
    if cost == "seconds":
        first = f"{seconds(record.get('seconds_per_epoch_mean') or 0.0)} s of training per epoch"
    else:
        first = f"{integer(size or 0)} parameters{'' if share is None else f' ({percent(share)} %)'}"
    lines = [
        first,
        f"{score.axis}: {score.spread(record['val_score_mean'], record['val_score_std'], record['num_seeds'])}",
    ]
    if record["difference_mean"] is not None:
        lines.append(f"{score.heading}: {score.difference(record['difference_mean'])}")
        if record["difference_low"] is not None and record["difference_high"] is not None:
            ends = score.difference(record["difference_low"]), score.difference(record["difference_high"])
            lines[-1] += f" [{ends[0]}, {ends[1]}]"
    return "\n".join(lines)


def curve_points(
    epochs: Sequence[int], mean: Sequence[float], low: Sequence[float], high: Sequence[float], decimals: int
) -> list[str]:
    """What a curve says at each epoch that is drawn: the mean, and the range over seeds where there are several."""

    def number(value: float) -> str:
        return f"{value:,.{decimals}f}"

    return [
        f"epoch {epoch}: {number(middle)}" + (f" ({number(least)} to {number(most)})" if least != most else "")
        for epoch, middle, least, most in zip(epochs, mean, low, high, strict=True)
        if math.isfinite(middle)
    ]
