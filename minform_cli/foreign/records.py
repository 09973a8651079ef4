"""What `count --model` says of another library's model, and what `import` made of its weights."""

from __future__ import annotations

from typing import TypedDict

from minform_cli.counting.records import RemovableRecord


class ReductionRecord(TypedDict):
    """One reduction of a model of another library: what is left of it. The row `baseline` is the model itself.

    `groups` are those of the model; None, as `parameters`, `saved` and `share_of_baseline` (0..1), where the reduction
    applies to no block. `saved` is negative where it costs. `attention_blocks` and `mlp_blocks` are those it changes,
    `not_applied` counts the blocks that it does not, by reason.
    """

    variant: str
    parameters: int | None
    saved: int | None
    share_of_baseline: float | None
    groups: dict[str, int] | None
    attention_blocks: int
    mlp_blocks: int
    not_applied: dict[str, int]


class ModelRecord(TypedDict):
    """The count of a model that another library builds.

    `groups` are `GROUPS` and `other`, what was not recognised; they add up to `parameters`, all unique parameters,
    the frozen ones included. `shared` are the paths of each tensor that stands in several places, the one it counts
    in first. `other` says by path what was not recognised. `removable` is claimed of what is known alone.
    """

    source: str
    model: str
    parameters: int
    groups: dict[str, int]
    attention_blocks: int
    mlp_blocks: int
    shared: list[list[str]]
    frozen_parameters: int
    other: dict[str, int]
    reductions: list[ReductionRecord]
    removable: RemovableRecord
    notes: list[str]


class LeftOverRecord(TypedDict):
    """One tensor of the source that has no place in the run, how many numbers it has, and why."""

    tensor: str
    numbers: int
    why: str


class ImportRecord(TypedDict):
    """One import.

    `numbers` of the source's file are the `parameters` of the run's model, by `groups`, and those left over. `readout`
    is what is read of the last block. `library` is name and version of the one whose outputs were compared; empty where
    none was. `parity` is the largest difference of outputs over the largest output, on `parity_inputs` random examples;
    None where nothing was compared, which `notes` explain. `folder` is the run's.
    """

    source: str
    architecture: str
    task: str
    readout: str
    numbers: int
    parameters: int
    groups: dict[str, int]
    left_over: list[LeftOverRecord]
    library: str
    parity: float | None
    parity_allowed: float
    parity_inputs: int
    folder: str
    notes: list[str]
