"""Names of folders: of a study and of a run by default, and in a study safe on every system and all different."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minform_cli.counting.records import grid_value

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9._+-]{1,40}")
_LONGEST = 120


def file_name(name: str) -> str:
    """A preset's or variant's name as typed, made fit for a file name (a path keeps its last part's stem)."""
    if name.endswith((".yaml", ".yml")):
        name = Path(name).stem
    return "".join(c if c.isalnum() or c in "-+._" else "_" for c in name)


def folder_name(variant: str) -> str:
    """A folder's name for a variant: the variant itself if that is a plain name, else made safe and told apart."""
    return variant if _PLAIN_NAME.fullmatch(variant) else _told_apart(variant)


def point_folder(grid: Mapping[str, Any]) -> str:
    """A folder's name for a point of a grid: ``model.depth=6,model.heads=1``, in any order of the keys the same."""
    values = {key: grid_value(grid[key]) for key in sorted(grid)}
    name = ",".join(f"{key}={value}" for key, value in values.items())
    plain = len(name) <= _LONGEST and all(_PLAIN_VALUE.fullmatch(value) for value in values.values())
    return name if plain else _told_apart(name)


def _told_apart(name: str) -> str:
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:10]
    readable = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")[-60:]
    return f"{readable}-{digest}" if readable else digest
