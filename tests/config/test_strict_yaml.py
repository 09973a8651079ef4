"""The YAML reader: YAML 1.2 numbers, every trap of YAML refused with file and line, and a writer it reads back."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minform_cli.config.strict_yaml import MAX_BYTES, MAX_DEPTH, dump_yaml, read_scalar, read_yaml
from minform_cli.errors import InputError


def value_of(text: str) -> Any:
    return read_scalar(text, "here")


def written(folder: Path, data: str | bytes) -> Path:
    path = folder / "some.yaml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1e3),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5e+2", -150.0),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("9" * 300, int("9" * 300)),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2024-01-01", "2024-01-01"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("<<", "<<"),
        ("=", "="),
        ("[1, a, [2]]", [1, "a", [2]]),
        ("{kind: tied}", {"kind": "tied"}),
    ],
)
def test_a_value_means_what_yaml_1_2_says(text: str, value: Any) -> None:
    assert repr(value_of(text)) == repr(value)  # repr tells 1, 1.0 and True apart


def test_nan_is_read_as_a_number_and_left_to_the_schema_to_refuse() -> None:
    assert repr(value_of(".nan")) == "nan"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3: key 'a' is given twice (first in line 1)"),
        ("a:\n  b: 1\n  b: 1\n", ":3: key 'b' is given twice (first in line 2)"),
        ("a: &x 1\nb: *x\n", ":2: alias '*x' is not accepted; write the value out"),
        ("a: !!python/object/apply:os.system [ls]\n", ":1: tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("a: 1\nb: !local x\n", ":2: tag '!local' is not accepted; write a plain value"),
        ("a: !!str 1\n", ":1: tag 'tag:yaml.org,2002:str' is not accepted; write a plain value"),
        ("\n\na: " + "[" * 40 + "\n", f":3: nested deeper than {MAX_DEPTH} levels"),
        ("\n".join("  " * i + "a:" for i in range(40)), f":32: nested deeper than {MAX_DEPTH} levels"),
        ("a: 1\n\tb: 2\n", ":2: not valid YAML: while scanning for the next token, found character '\\t'"),
        ("a: 1\nb: \x07\n", ":2: not valid YAML: character 0x7 is not accepted"),
        ("a: \x1b[31m\n", ":1: not valid YAML: character 0x1b is not accepted"),
        ("a: b: c\n", ":1: not valid YAML: mapping values are not allowed here"),
        ("a: [1\nb: 2\n", ":2: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got ':'"),
        ("a: 1\n---\nb: 2\n", ":2: not valid YAML: expected a single document in the stream, but found another"),
        ("1: a\n", ":1: a key must be a word"),
        ("true: a\n", ":1: a key must be a word"),
        ("? [a]\n: b\n", ":1: a key must be a word"),
        ("- a\n- b\n", ":1: expected a mapping of keys to values, not list"),
        ("word\n", ":1: expected a mapping of keys to values, not str"),
        ("7\n", ":1: expected a mapping of keys to values, not int"),
        (b"a: \xff\n", ": not UTF-8 at byte 3"),
        (b"\xff\xfea\x00", ": not UTF-8 at byte 0"),
        ("# x\n" * (MAX_BYTES // 4 + 1), f": larger than {MAX_BYTES:,} bytes, which no config is"),
    ],
)
def test_what_is_refused_is_named_in_one_line_with_its_place(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("absent.yaml", "No such file or directory"), (".", "Is a directory"), ("a" * 300, "File name too long")],
)
def test_a_file_that_cannot_be_read_is_named(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"cannot be read: {reason}$"):
        read_yaml(tmp_path / name)


def test_a_name_with_a_null_character_is_refused_and_not_a_bug_of_ours() -> None:
    with pytest.raises(InputError, match=r"cannot be read: embedded null byte$"):
        read_yaml(Path("a\0b.yaml"))


def test_an_alias_bomb_is_refused_at_its_first_alias(tmp_path: Path) -> None:
    bomb = "a0: &a0 x\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    with pytest.raises(InputError, match=r":2: alias '\*a0' is not accepted"):
        read_yaml(written(tmp_path, bomb))


def test_an_empty_file_is_an_empty_mapping_and_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, ""))[0] == {}
    assert read_yaml(written(tmp_path, "# only a comment\n"))[0] == {}
    assert read_yaml(written(tmp_path, b"\xef\xbb\xbfa: 1\n"))[0] == {"a": 1}


def test_every_key_has_its_line(tmp_path: Path) -> None:
    _, lines = read_yaml(written(tmp_path, "# head\nmodel:\n  dim: 1\n\n  heads: 2\ntrain: {epochs: 3}\n"))
    assert lines == {
        ("model",): 2,
        ("model", "dim"): 3,
        ("model", "heads"): 5,
        ("train",): 6,
        ("train", "epochs"): 6,
    }


def test_a_value_of_the_command_line_has_a_place_but_no_line() -> None:
    with pytest.raises(InputError, match=r"^--set model.dim: not valid YAML: mapping values are not allowed here$"):
        read_scalar("a: b: c", "--set model.dim")


LOOKALIKES = ["1", "-1", "1e-3", "010", "0x1F", "0o7", "true", "null", "~", "", "no", "12:30", ".inf", ".nan", "1.0"]
LOOKALIKES += [
    " a",
    "a ",
    "a: b",
    "# a",
    "- a",
    "[a]",
    "{a: b}",
    "*a",
    "&a",
    "!a",
    "'",
    '"',
    "a\nb",
    "\ta",
    "é\x85\x07",
]


@pytest.mark.parametrize("text", LOOKALIKES)
def test_a_string_that_looks_like_something_else_is_read_back_as_that_string(text: str, tmp_path: Path) -> None:
    value = {text or "empty": text, "list": [text, {"deeper": text}]}
    assert read_yaml(written(tmp_path, dump_yaml(value)))[0] == value


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(LOOKALIKES)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(value=st.dictionaries(_TEXTS, _VALUES, max_size=5))
def test_whatever_is_dumped_is_read_back_equal_in_value_and_type(
    value: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("yaml"), dump_yaml(value))
    assert repr(read_yaml(path)[0]) == repr(value)
