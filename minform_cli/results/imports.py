"""What `import` made of another library's weights."""

from __future__ import annotations

from typing import TypedDict


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
