"""What ``doctor`` finds."""

from __future__ import annotations

from typing import Literal, TypedDict

State = Literal["ok", "note", "problem", "fatal"]


class FindingRecord(TypedDict):
    """One line of a diagnosis.

    `state` is `ok`, `note` (it works, with less), `problem` (something will not) or `fatal` (nothing can be trained
    here). `number` is what `value` says, in the `unit`, where it is one.
    """

    section: str
    name: str
    value: str
    state: State
    number: float | None
    unit: str | None
