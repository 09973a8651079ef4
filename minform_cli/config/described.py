"""JSON Schema of settings with what their docstrings say of them: the words stand once, where the fields are."""

from __future__ import annotations

import inspect
import re
from typing import Any, cast

from pydantic import BaseModel

Schema = dict[str, Any]

_NAMES = re.compile(r"([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*): (.+)")


def described(cls: type[BaseModel]) -> Schema:
    """What the fields of `cls` take, as a JSON Schema of an object, with descriptions and defaults."""
    schema = cast("Schema", _untitled(cls.model_json_schema()))
    schema.pop("$defs", None)
    schema["description"] = " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())
    texts = field_texts(cls)
    for name, field in schema["properties"].items():
        if name in texts:
            field["description"] = texts[name]
    return schema


def field_texts(cls: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of `cls`, and of what it derives from, say of its fields under "Attributes:"."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        texts |= _attributes(base.__doc__ or "")
    return {name: texts[name] for name in cls.model_fields if name in texts}


def _attributes(docstring: str) -> dict[str, str]:
    """Name -> text; several names before one colon share it, and lines indented further go on."""
    lines = inspect.cleandoc(docstring).splitlines()
    if "Attributes:" not in lines:
        return {}
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index("Attributes:") + 1 :]:
        if line and not line.startswith(" "):  # the next section
            break
        opens = _NAMES.fullmatch(line.strip()) if line.startswith("    ") and not line.startswith("     ") else None
        if opens is not None:
            names = opens[1].split(", ")
            texts |= dict.fromkeys(names, opens[2])
        else:
            texts |= {name: f"{texts[name]} {line.strip()}" for name in names if line.strip()}
    return texts


def _untitled(schema: object) -> object:
    """`schema` without the titles that pydantic makes of names."""
    if isinstance(schema, list):
        return [_untitled(each) for each in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    items = cast("Schema", schema).items()
    return {key: _untitled(value) for key, value in items if key != "title" or not isinstance(value, str)}
