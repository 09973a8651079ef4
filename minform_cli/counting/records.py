"""The records of `count`: parameters, what a variant costs, what of it can go, where its parameters are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

GROUPS = ("embedding", "query_key", "value_output", "mlp", "norm", "head")
"""Parameter groups of every count, in the order tables print them. They add up to the total."""


class Swept(TypedDict, total=False):
    """What a study adds to its records: the settings it sweeps, by dotted key; empty where nothing is swept."""

    grid: dict[str, Any]


class CountRecord(Swept):
    """One variant's count. Fractions are 0..1; `macs` are forward multiply-accumulates per example (1 MAC = 2 FLOPs).

    `determination_ratio` is Q = K M / P; None where K or M is unknown. `task_head_parameters` are those of a head that
    published counts of such models leave out, and `parameters` too; 0 where the head is part of the count.
    `dead_parameters` are numbers no loss can depend on, by where they are. `notes` are sentences a reader
    of the table should see.
    """

    preset: str
    variant: str
    parameters: int
    share_of_baseline: float
    determination_ratio: float | None
    macs: int
    groups: dict[str, int]
    heads: int
    task_head_parameters: int
    dead_parameters: dict[str, int]
    notes: list[str]


class RemovableRecord(TypedDict):
    """Numbers that can go of a model whose outputs stay, to rounding.

    `numbers` are all of them, `by` those of each reduction, by its name; `why_not` says of a reduction why no more of
    them, or none.
    """

    numbers: int
    by: dict[str, int]
    why_not: dict[str, str]


class CostRecord(TypedDict):
    """What one variant costs. A MAC is two FLOPs.

    `flops_forward` and `flops_training` are per example, the latter of forward and backward pass. `weight_bytes` is by
    number format; `cache_bytes_per_token`, by number format, are the keys and values that generation keeps of a token,
    None for a model that does not generate; `gradient_bytes` and `optimizer_bytes` are float32's, of a training step.
    `activation_bytes` is what a forward pass keeps for the backward pass at `batch_size`; both are None where no batch
    size was given.
    """

    flops_forward: int
    flops_training: int
    weight_bytes: dict[str, int]
    gradient_bytes: int
    optimizer_bytes: int
    cache_bytes_per_token: dict[str, int] | None
    batch_size: int | None
    activation_bytes: int | None


class CountedRecord(CountRecord):
    """One variant's count with what it costs, and with what of it can go exactly."""

    cost: CostRecord
    removable: RemovableRecord


class LayerRecord(TypedDict):
    """One module of a variant's model: everything below it counted, each tensor where it stands first.

    `path` is its name inside the model, `level` how deep it lies (the whole model is 0), `kind` its class. `shared`
    says that it is a block which runs at several depths.
    """

    variant: str
    path: str
    level: int
    kind: str
    parameters: int
    share_of_model: float
    shared: bool


def row_label(variant: str, grid: Mapping[str, Any]) -> str:
    """A variant at a grid point, for people: ``minimal, heads=1, depth=6``."""
    return f"{variant}, {grid_name(grid)}" if grid else variant


def row_key(variant: str, grid: Mapping[str, Any]) -> tuple[str, str]:
    """What decides which row of a table a record belongs to."""
    return variant, grid_key(grid)


def grid_key(grid: Mapping[str, Any]) -> str:
    """Equal for equal grid points, in whatever order their settings stand."""
    return json.dumps(grid, sort_keys=True)


def grid_name(grid: Mapping[str, Any]) -> str:
    """A grid point for people: ``heads=1, depth=6``."""
    return ", ".join(f"{key.rpartition('.')[2]}={grid_value(value)}" for key, value in grid.items())


def grid_value(value: Any) -> str:
    """A swept setting's value as it is written on the command line."""
    return value if isinstance(value, str) else json.dumps(value)
