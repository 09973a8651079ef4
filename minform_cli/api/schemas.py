"""What YAML files may say."""

from __future__ import annotations

from typing import Any


def schema(kind: str = "preset") -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a YAML file: every key with description, default, range, options of parts.

    Args:
        kind: `preset`, `variant` or `study`.

    Returns:
        The schema, as `json.dumps` takes it.

    Raises:
        InputError: `kind` is unknown.
    """
    from minform_cli.study.json_schema import json_schema

    return json_schema(kind)
