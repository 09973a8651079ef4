"""A value somebody gave, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """A value and where it came from (``--set``, or a file and line)."""

    value: Any
    origin: str
