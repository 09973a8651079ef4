"""What a test is told by the soak, and tells it: nothing of it changes the default suite."""

from __future__ import annotations

import json
import os
from pathlib import Path

TRIES, SEED, COUNTS = "MINFORM_TRIES", "MINFORM_SEED", "MINFORM_COUNTS"
"""Variables of the environment: how many tries, which ones, and the file that what was done is written to."""


def tries(default: int) -> int:
    """How many tries this slice has; `default` in the suite."""
    return int(os.environ.get(TRIES, str(default)))


def seed() -> str:
    """What random choices of this slice begin with: another one each slice, always the same in the suite."""
    return os.environ.get(SEED, "0")


def reached(figure: str, count: int) -> None:
    """Tells the soak that `count` more were tried of `figure` (``R4``), all as they should be."""
    path = os.environ.get(COUNTS)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"figure": figure, "count": count}) + "\n")
