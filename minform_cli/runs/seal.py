"""JSON files that notice when a single digit of them is no longer what was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError
from minform_cli.files import read_json
from minform_cli.runs.records import FORMAT, check_format


def sealed(kind: str, content: Mapping[str, object]) -> dict[str, object]:
    """`content` with what it is, the format version, and a SHA-256 of it all.

    No damaged digit is ever taken for a number that was written, nor one file for another.
    """
    named = {"kind": kind, "format": FORMAT, **content}
    return {**named, "sha256": _seal(named)}


def read_sealed(path: Path, kind: str) -> dict[str, Any]:
    """What `sealed` made of this `kind`, read from `path`.

    Raises:
        InputError: it is missing, damaged, something else, or of another format version.
    """
    content = read_json(path, kind)
    check_format(content, path)
    unsealed = {key: value for key, value in content.items() if key != "sha256"}
    if content.get("sha256") != _seal(unsealed) or content.get("kind") != kind:
        raise InputError(f"{kind} {path} is damaged: it is not what was written")
    return content


def _seal(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
