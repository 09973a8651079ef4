"""What a report shades: accuracy by class as a table, attention over the patches of an image as small pictures."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minform_cli.errors import counted
from minform_cli.report.grid import row_name
from minform_cli.report.numbers import ABSENT, percent
from minform_cli.report.records import AttentionRecord, CompareRecord, RunDetails, StudyDetails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CLASSES = 20
"""Up to so many classes are shown; of more, those whose accuracy differs most between the rows."""

MAX_LAYERS = 12
"""Up to so many layers are shown; of more, so many at equal distances."""

_LIGHT, _DARK = (247, 251, 255), (8, 81, 156)
_BLACK_ON = 0.77
"""Up to this share of the way from light to dark, black text has more contrast than white."""

_TILE = 84
"""About how wide a layer's picture is, in pixels."""

_GAP = 2
"""Between the heads of a layer, in pixels."""

_OCTAVES = 3
"""The colours end at 1/8 and 8 times uniform attention."""


@dataclass(frozen=True)
class Shaded:
    """A cell: its text, the colour behind it, the colour of the text; no colours where there is nothing."""

    text: str
    background: str = ""
    ink: str = ""


@dataclass(frozen=True)
class ClassTable:
    """Accuracy by class: class names above, one named line a row; `low` and `high` are the ends of the shading."""

    classes: list[str]
    rows: list[tuple[str, list[Shaded]]]
    low: str
    high: str
    hidden: int


@dataclass(frozen=True)
class LayerPicture:
    """The heads of one layer side by side, as a PNG."""

    png: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class AttentionRow:
    """One row's attention: what it takes the image for, whether that is right, a picture a layer shown; None past its
    last layer.
    """

    name: str
    prediction: str
    right: bool
    pictures: list[LayerPicture | None]


def class_table(records: Sequence[CompareRecord], details: StudyDetails) -> ClassTable | None:
    """Accuracy by class, mean over seeds; None where nothing was measured."""
    names = details["class_names"]
    means = {row_name(record): class_means(details["runs"], row_name(record), len(names)) for record in records}
    measured = {name: row for name, row in means.items() if row is not None}
    known = [value for row in measured.values() for value in row if value is not None]
    if not known:
        return None
    shown = _telling(list(measured.values()), len(names))
    low, high = min(known), max(known)
    return ClassTable(
        [names[i] for i in shown],
        [(name, [shaded(row[i], low, high) for i in shown]) for name, row in measured.items()],
        percent(low),
        percent(high),
        len(names) - len(shown),
    )


def layers_shown(num: int) -> list[int]:
    """Which layers are shown where the deepest row has `num`, from 0."""
    if num <= MAX_LAYERS:
        return list(range(num))
    return [round(i * (num - 1) / (MAX_LAYERS - 1)) for i in range(MAX_LAYERS)]


def attention_rows(records: Sequence[CompareRecord], details: StudyDetails) -> tuple[list[int], list[AttentionRow]]:
    """The layers shown, from 0, and one row a variant and grid point whose attention is known."""
    example, classes = details["example"], details["class_names"]
    known = {row_name(record): _attention(details["runs"], row_name(record)) for record in records}
    seen = {name: attention for name, attention in known.items() if attention is not None}
    if not seen or example is None:
        return [], []
    shown = layers_shown(max(len(attention["weights"]) for attention in seen.values()))
    rows = [
        AttentionRow(
            name,
            classes[attention["prediction"]],
            attention["prediction"] == example["label"],
            [_layer_picture(attention, i) if any(attention["weights"][i : i + 1]) else None for i in shown],
        )
        for name, attention in seen.items()
    ]
    return shown, rows


def attention_colours(num: int = 9) -> list[str]:
    """The colours of the attention pictures, from little attention to much."""
    return [_css(colour) for colour in _colours([i / (num - 1) for i in range(num)])[:, :3].tolist()]


def class_means(runs: Sequence[RunDetails], name: str, num: int) -> list[float | None] | None:
    """Mean over the runs of a row, by class; None if none was measured."""
    measured = [run["measured"]["per_class_accuracy"] for run in runs if row_name(run) == name and run["measured"]]
    if not measured:
        return None
    by_class = [[row[i] for row in measured] for i in range(num)]
    kept = [[value for value in values if value is not None] for values in by_class]
    return [sum(values) / len(values) if values else None for values in kept]


def _attention(runs: Sequence[RunDetails], name: str) -> AttentionRecord | None:
    """That of the row's first run that has it."""
    measured = [run["measured"] for run in runs if row_name(run) == name]
    return next((one["attention"] for one in measured if one is not None and one["attention"] is not None), None)


def _telling(rows: Sequence[Sequence[float | None]], num: int) -> list[int]:
    """The classes to show, in their own order."""

    def spread(i: int) -> float:
        values = [value for row in rows if (value := row[i]) is not None]
        return max(values) - min(values) if values else -1.0

    return sorted(sorted(range(num), key=spread, reverse=True)[:MAX_CLASSES])


def shaded(value: float | None, low: float, high: float) -> Shaded:
    """A share in percent, shaded between two others; None: nothing."""
    if value is None:
        return Shaded(ABSENT)
    share = (value - low) / (high - low) if high > low else 1.0
    colour = [round(a + share * (b - a)) for a, b in zip(_LIGHT, _DARK, strict=True)]
    return Shaded(percent(value), _css(colour), "#000000" if share < _BLACK_ON else "#ffffff")


def _css(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)


def _layer_picture(attention: AttentionRecord, layer: int) -> LayerPicture:
    import numpy as np

    heads = np.asarray(attention["weights"][layer]).reshape(-1, attention["rows"], attention["columns"])
    num, rows, columns = heads.shape
    across = math.ceil(math.sqrt(num))
    down = math.ceil(num / across)
    scale = max(1, _TILE // (across * columns))
    height, width = scale * rows, scale * columns
    canvas = np.zeros((down * (height + _GAP) - _GAP, across * (width + _GAP) - _GAP, 4), dtype=np.uint8)
    with np.errstate(divide="ignore"):
        octaves = np.log2(heads * attention["tokens"])
    shades = _colours((octaves / (2 * _OCTAVES) + 0.5).clip(0, 1))
    for head, shade in enumerate(shades):
        top, left = head // across * (height + _GAP), head % across * (width + _GAP)
        canvas[top : top + height, left : left + width] = shade.repeat(scale, axis=0).repeat(scale, axis=1)
    return LayerPicture(
        _png(canvas),
        canvas.shape[1],
        canvas.shape[0],
        f"layer {layer + 1}: attention of {counted(num, 'head')} over {rows} x {columns} patches",
    )


def _colours(values: Any) -> NDArray[np.uint8]:
    """The colours of values of 0..1 with an opaque alpha channel, one axis more than `values`."""
    import matplotlib as mpl
    import numpy as np

    return mpl.colormaps["viridis"](np.asarray(values), bytes=True)


def _png(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", optimize=True)
    return base64.b64encode(data.getvalue()).decode()
