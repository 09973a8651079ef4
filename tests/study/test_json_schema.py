"""The JSON Schemas that editors read: in step with the code, and of one mind with the reader of the files.

After an intended change of a setting: ``MINFORM_ACCEPT=1 pytest tests/study/test_json_schema.py`` rewrites the files.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

import minform_cli
from minform_cli.config.axes import AXES
from minform_cli.config.described import field_texts
from minform_cli.config.names import shipped_folder
from minform_cli.config.schema import SECTIONS, RunConfig
from minform_cli.config.strict_yaml import read_scalar, read_yaml
from minform_cli.config.training import TrainConfig
from minform_cli.errors import InputError
from minform_cli.study.json_schema import KINDS, json_schema
from tests.cli.commands import Command
from tests.config.test_presets import (
    test_what_is_wrong_in_a_preset_is_named_with_file_line_and_key as of_presets,
)
from tests.config.test_presets import (
    test_what_is_wrong_with_a_setting_is_said_in_one_line as of_settings,
)
from tests.study.test_study_file import GOOD
from tests.study.test_study_file import test_a_wrong_study_file_is_refused_in_one_line as of_studies
from tests.zoo import ALL_PARTS, options

of_presets.__test__ = of_settings.__test__ = of_studies.__test__ = False  # type: ignore[attr-defined]

FOLDER = shipped_folder() / "schemas"
FILES = sorted(shipped_folder().rglob("*.yaml"))
PLACES = {"presets": "preset", "variants": "variant", "studies": "study"}


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json_schema(kind))


def accepts(kind: str, content: Any) -> bool:
    return validator(kind).is_valid(content)


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_schema_is_what_the_command_prints_and_the_function_returns(kind: str, minform: Command) -> None:
    outcome = minform("schema", kind)
    path = FOLDER / f"{kind}.json"
    if os.environ.get("MINFORM_ACCEPT"):
        path.write_text(outcome.out, encoding="utf-8")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == path.read_text(encoding="utf-8")
    assert minform_cli.schema(kind) == json.loads(outcome.out)
    assert {each.stem for each in FOLDER.iterdir()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_one_of_draft_2020_12(kind: str) -> None:
    Draft202012Validator.check_schema(json_schema(kind))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_names_its_schema_in_its_first_line_and_is_accepted(path: Path) -> None:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert named != first
    kind = PLACES[path.parent.name]
    assert (path.parent / named).resolve() == FOLDER / f"{kind}.json"
    content, _ = read_yaml(path)
    assert [error.message for error in validator(kind).iter_errors(content)] == []


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown kind 'presett'; did you mean 'preset'\?; accepted: preset, stu"):
        minform_cli.schema("presett")


def test_every_key_is_described_and_every_default_is_accepted() -> None:
    schema = json_schema("preset")
    for section, cls in SECTIONS.items():
        keys = schema["properties"][section]["properties"]
        assert list(keys) == list(cls.model_fields)
        for key, field in keys.items():
            assert field["description"], key
            assert ("default" in field) == (not cls.model_fields[key].is_required()), key
            if "default" in field:
                assert accepts("preset", {section: {key: field["default"]}}), key


def test_a_description_is_what_the_docstring_says_in_all_its_lines() -> None:
    texts = field_texts(TrainConfig)
    assert texts["label_smoothing"] == "probability spread over all classes in the training loss."
    assert texts["precision"].endswith("moments and gradients stay float32. `fp32`: all is float32.")
    assert field_texts(RunConfig)["variant"] == "the variant as typed, `baseline` for none."
    assert set(field_texts(AXES["mlp"].get("gelu"))) == {"width"}  # said by the class that it derives from


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_every_part_is_accepted_with_its_options_in_files_of_every_kind(axis: str, kind: str) -> None:
    value = json.loads(json.dumps(options(axis, kind)))  # lists, as YAML has them
    for content in (value, AXES[axis].parse(value).model_dump(mode="json")):
        assert accepts("preset", {"model": {axis: content}})
        assert accepts("variant", {"model": {axis: content}})
        assert accepts("study", {"preset": "x", "set": {f"model.{axis}": content}})
        assert accepts("study", {"preset": "x", "grid": {f"model.{axis}": [content]}})
        listed = [content, content]
        assert accepts("preset", {"model": {axis: listed}}) == AXES[axis].per_block
    assert not accepts("variant", {"model": {axis: {"kind": kind, "nonsense": 1}}})


VALUES = [
    None, True, False, 0, 1, 3, -1, 0.5, 1.5, 1e-12, -0.5, 2**40, "", "x", "none", "cosine", "adamw", "test",
    "digits", [], [0], [1, 0], [0.5], ["x"], [None], {}, {"kind": "none"}, {"kind": "x"}, {"kind": 3},
]  # fmt: skip
"""No whole number written as a fraction: JSON does not tell 1.0 from 1, and the reader does."""


def test_the_schema_and_the_reader_agree_on_every_key() -> None:
    schema = json_schema("preset")
    differ: list[tuple[str, Any, bool]] = []
    for section, cls in SECTIONS.items():
        base = {"name": "digits"} if section == "data" else {}
        for key in cls.model_fields:
            if (section, key) in (("data", "name"), ("train", "momentum")):  # which others decide
                continue
            field = schema["properties"][section]["properties"][key]
            alone = Draft202012Validator({"properties": {key: field}, "$defs": schema["$defs"]})
            for value in VALUES:
                try:
                    cls.model_validate(base | {key: value})
                    right = True
                except ValidationError:
                    right = False
                if alone.is_valid({key: value}) != right:
                    differ.append((f"{section}.{key}", value, right))
    assert differ == []


def part_options() -> Iterator[tuple[str, str, str]]:
    for axis, kind in ALL_PARTS:
        for option in AXES[axis].get(kind).model_fields:
            if option != "kind":
                yield axis, kind, option


@pytest.mark.parametrize(("axis", "kind", "option"), list(part_options()))
def test_the_schema_and_the_reader_agree_on_every_option_of_a_part(axis: str, kind: str, option: str) -> None:
    schema = Draft202012Validator(AXES[axis].part_schema())
    base = options(axis, kind)
    given = base if isinstance(base, dict) else {"kind": kind}
    differ: list[tuple[Any, bool]] = []
    for value in VALUES:
        try:
            AXES[axis].parse({**given, option: value})
            right = True
        except ValueError:
            right = False
        if schema.is_valid({**given, option: value}) != right:
            differ.append((value, right))
    assert differ == []


def texts_of(test: Any) -> list[Any]:
    """What a test of malformed files is given, each once more here."""
    (mark,) = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    return list(mark.args[1])


@pytest.mark.parametrize("text", [text for text, _ in texts_of(of_presets)])
def test_every_malformed_preset_of_the_tests_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "preset.yaml"
    path.write_text(text)
    assert not accepts("preset", read_yaml(path)[0])


@pytest.mark.parametrize("setting", [setting for setting, _ in texts_of(of_settings)])
def test_every_malformed_setting_of_the_tests_is_refused_in_a_study(setting: str) -> None:
    key, equals, text = setting.partition("=")
    try:
        value = read_scalar(text, "") if equals else None
        json.dumps(value, allow_nan=False)
    except (InputError, ValueError):
        return  # no YAML at all, or what JSON has no word for
    if value in (1000.0, [0, 1.0]):
        return  # JSON does not tell 1000.0 from 1000
    assert not accepts("study", {"preset": "debug", "set": {key: value}})


UNSEEN = {
    ("preset: debug", "preset: debgu"): "names are looked up by the command: they may be paths",
    ("[baseline, minimal]", "[minimum]"): "likewise",
    ("train.epochs: 1", "model.heads: 1"): "what is set and what is swept stand in two places",
}
"""Malformed studies that a schema cannot tell, and why."""


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, new, _ in texts_of(of_studies)])
def test_every_malformed_study_of_the_tests_is_refused(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    try:
        content, _ = read_yaml(path)
    except InputError:
        return  # no YAML at all
    assert accepts("study", content) == ((old, new) in UNSEEN)
    path.write_text(GOOD)
    assert accepts("study", read_yaml(path)[0])
