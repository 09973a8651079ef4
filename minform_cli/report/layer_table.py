"""The tree of ``count --by layer``: where in a model its parameters are."""

from __future__ import annotations

from collections.abc import Sequence

from minform_cli.counting.records import LayerRecord
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render
from minform_cli.report.numbers import integer, percent

_STEP = "· "
"""Stands before a module once for each module it lies in; spaces would be lost at the edge of a cell."""


def layer_table(records: Sequence[LayerRecord], fmt: str) -> Output:
    """One line a module, indented by how deep it lies, in one of the formats of `formats.FORMATS`."""
    several = len({record["variant"] for record in records}) > 1
    return render(records, [*([_VARIANT] if several else []), *_COLUMNS], fmt)


def layer_caption(records: Sequence[LayerRecord]) -> list[str]:
    """What the numbers of a tree mean."""
    lines = [
        "Parameters: unique trainable numbers of a module and all below it; a tensor that stands in two places counts "
        "where it stands first. Share: of the variant's whole model."
    ]
    if any(record["shared"] for record in records):
        lines.append("x: a block that runs at several depths with the same weights, which count once.")
    return lines


def _module(record: LayerRecord) -> str:
    name = record["path"].rpartition(".")[2]
    return f"{_STEP * record['level']}{name}{' x' if record['shared'] else ''}"


_VARIANT = Column("variant", lambda record: record["variant"], right=False, name=True)
_COLUMNS = [
    Column("module", _module, right=False),
    Column("kind", lambda record: record["kind"], right=False),
    Column("parameters", lambda record: integer(record["parameters"])),
    Column("share %", lambda record: percent(record["share_of_model"])),
]
