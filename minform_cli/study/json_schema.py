"""What presets, variants and study files may say, as JSON Schema: made from the settings that read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minform_cli.config.axes import AXES
from minform_cli.config.axes.order import order_schema
from minform_cli.config.described import Schema, described
from minform_cli.config.schema import NUM_SEEDS, SECTIONS, ModelConfig
from minform_cli.data.spec import DATA_SETS
from minform_cli.errors import unknown_name
from minform_cli.study.grid import SWEPT
from minform_cli.tasks import TASKS

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_TEXT: Schema = {"type": "string", "minLength": 1}
_ABOUT: Mapping[str, Schema] = {
    "summary": {"type": "string", "description": "one line: what it is"},
    "source": {"type": "string", "description": "one line: where it comes from"},
}


def json_schema(kind: str = "preset") -> Schema:
    """The JSON Schema (draft 2020-12) of a YAML file of that `kind`: one of `KINDS`.

    It says what can be said of each value by itself; whether parts go together, and whether names of other files are
    right, the commands find out.

    Raises:
        InputError: `kind` is unknown.
    """
    if kind not in KINDS:
        raise unknown_name("kind", kind, tuple(KINDS))
    properties, required = KINDS[kind]()
    opening = {"$schema": DRAFT, "title": f"minform {kind}", "type": "object"}
    whole = {**opening, "properties": properties, "required": required, "additionalProperties": False}
    return {**whole, "$defs": {name: axis.part_schema() for name, axis in AXES.items()}}


Parts = tuple[Schema, list[str]]
"""Properties, and which of them must be there."""


def _preset() -> Parts:
    known: Schema = {
        **_ABOUT,
        "expected_parameters": {"type": "integer", "description": "what count says of it"},
        "extends": {**_TEXT, "description": "a preset, by name or path, whose settings stand below these"},
        "task": {
            "oneOf": [{"const": name, "description": TASKS.info(name).meaning} for name in TASKS.names()],
            "description": "what is predicted",
        },
    }
    return known | {name: _section(name) for name in SECTIONS}, []


def _variant() -> Parts:
    extends = {**_TEXT, "description": "variants, by name or path, joined by +, whose settings stand below these"}
    return {**_ABOUT, "extends": extends, "model": _section("model")}, []


def _study() -> Parts:
    fields = {f"{name}.{key}": field for name in SECTIONS for key, field in _fields(name).items()}
    without = {key: {k: v for k, v in field.items() if k != "default"} for key, field in fields.items()}
    swept = {
        key: {"type": "array", "items": field, "minItems": 1, "uniqueItems": True}
        for key, field in without.items()
        if key.startswith(SWEPT)
    }
    seed = {"type": "integer", "minimum": 0, "exclusiveMaximum": NUM_SEEDS}
    known: Schema = {
        **_ABOUT,
        "preset": {**_TEXT, "description": "a preset, by name or path"},
        "variants": {
            "type": "array",
            "items": _TEXT,
            "minItems": 1,
            "description": "names or paths, joined by +; without them the default ones",
        },
        "seeds": {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": seed, "minItems": 1, "uniqueItems": True},
            ],
            "default": 3,
            "description": "how many, or each of them",
        },
        "set": _or_nothing(without, "settings over the preset's, by key"),
        "grid": _or_nothing(swept, "settings that are swept, each with its values: every combination is compared"),
    }
    known["summary"], known["source"] = ({**_TEXT, **_ABOUT[key]} for key in ("summary", "source"))
    return known, ["preset"]


KINDS: Mapping[str, Callable[[], Parts]] = {"preset": _preset, "variant": _variant, "study": _study}
"""Kinds of YAML files -> what makes their schema."""


def _section(name: str) -> Schema:
    return _or_nothing(_fields(name), described(SECTIONS[name])["description"])


def _or_nothing(properties: Schema, description: str) -> Schema:
    """A mapping, or nothing after its name."""
    return {
        "type": ["object", "null"],
        "description": description,
        "properties": properties,
        "additionalProperties": False,
    }


def _fields(section: str) -> dict[str, Any]:
    """What each key of a section takes; the parts of an axis stand once, in ``$defs``."""
    fields: dict[str, Any] = described(SECTIONS[section])["properties"]
    if SECTIONS[section] is ModelConfig:
        for name, axis in AXES.items():
            one: Schema = {"$ref": f"#/$defs/{name}"}
            taken = order_schema(one) if name == "order" else axis.json_schema(one)
            fields[name] = {**taken, "description": axis.meaning, "default": fields[name]["default"]}
    if section == "data":
        modules = ((name, DATA_SETS.get(name)) for name in DATA_SETS.names())
        sets = [{"const": name, "description": module.SUMMARY} for name, module in modules]
        fields["name"] = {"oneOf": sets, "description": fields["name"]["description"]}
    return fields
