"""Settings that a study sweeps: their values, and the cross product of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from minform_cli.config.presets import check_key
from minform_cli.config.setting import Setting
from minform_cli.config.strict_yaml import read_scalar, split_values
from minform_cli.errors import InputError

Grid = Mapping[str, Sequence[Setting]]
"""Dotted key -> the values it takes, one after the other."""

Point = Mapping[str, Setting]
"""Dotted key -> one of its values."""

SWEPT = ("model.", "train.")
"""What the keys that can be swept begin with."""


def parse_grid(texts: Sequence[str], option: str = "--grid") -> dict[str, tuple[Setting, ...]]:
    """``key=value,value`` texts of `option` as a grid; each value is written as for ``--set``.

    Raises:
        InputError: a key is unknown or given twice, or a value is missing, given twice or no plain value.
    """
    grid: dict[str, tuple[Setting, ...]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals:
            raise InputError(f"{option} {text!r}: expected key=value,value, for example {option} model.heads=1,4")
        if key in grid:
            raise InputError(f"{option} {key}: given twice; one {option} has all values of a key, joined by commas")
        pieces = split_values(values, f"{option} {key}")
        if not all(piece.strip() for piece in pieces):
            raise InputError(f"{option} {key}: a value is missing in {values!r}")
        settings = tuple(Setting(read_scalar(piece, f"{option} {key}"), option) for piece in pieces)
        check_axis(key, settings, option)
        grid[key] = settings
    return grid


def check_axis(key: str, values: Sequence[Setting], where: str) -> None:
    """Raises `InputError` unless `key` can be swept and its `values` differ; `where` opens the message."""
    check_key(key, where)
    if not key.startswith(SWEPT):
        raise InputError(f"{where}: {key} cannot be swept, as a study has one data set; accepted: model.*, train.*")
    if not values:
        raise InputError(f"{where}: {key}: expected at least one value")
    seen = [setting.value for setting in values]
    for value in seen:
        if seen.count(value) > 1:
            raise InputError(f"{where}: {key}: {value!r} is listed twice")


def points(grid: Grid) -> list[Point]:
    """Every combination of the values, the last key's changing fastest; one empty point for an empty grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
