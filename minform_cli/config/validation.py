"""From dotted keys to a typed config, with pydantic's findings turned into one line a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from minform_cli.config.schema import RunConfig
from minform_cli.errors import InputError, did_you_mean

_EXPECTED = {
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "too_short": "expected at least one item",
    "finite_number": "expected a finite number",
    "missing": "is missing",
    "extra_forbidden": "is not an option here",
}


def build(
    names: Mapping[str, Any], values: Mapping[str, Any], origins: Mapping[str, str], where: str = ""
) -> RunConfig:
    """A config from its top-level fields and its settings by dotted key.

    Args:
        names: preset, variant, task, seed.
        values: ``section.field`` -> value.
        origins: ``section.field`` -> where the value came from, for messages.
        where: where the rest came from.

    Raises:
        InputError: the first value that does not fit, with its origin and key.
    """
    nested: dict[str, Any] = dict(names)
    for key, value in values.items():
        section, _, field = key.partition(".")
        nested.setdefault(section, {})[field] = value
    try:
        return RunConfig.model_validate(nested)
    except ValidationError as error:
        raise InputError(_explain(error, origins, where)) from None


def _explain(error: ValidationError, origins: Mapping[str, str], where: str) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    origin = next((origins[k] for k in origins if key == k or key.startswith(f"{k}.")), where)
    kind = first["type"]
    context = first.get("ctx", {})
    if kind == "value_error":
        text = str(context["error"])
    elif kind == "literal_error":
        accepted = [part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")]
        text = f"{first['input']!r} is not known{did_you_mean(str(first['input']), accepted)}; "
        text += f"accepted: {', '.join(accepted)}"
    elif kind in _EXPECTED:
        text = _EXPECTED[kind] if kind in ("missing", "extra_forbidden") else f"{_EXPECTED[kind]}, not {_short(first)}"
    else:
        text = f"{first['msg'].replace('Input should', 'should')}, not {_short(first)}"
    if origin == f"--{key}":  # an option of its own: its name is the key
        return f"{origin}: {text}"
    return f"{origin}: {key}: {text}" if origin else f"{key}: {text}"


def _short(first: Any) -> str:
    text = repr(first["input"])
    return text if len(text) <= 60 else text[:57] + "..."
