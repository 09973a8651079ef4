"""Files of sentences: what a line is, and every file that is refused, with the line."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from minform_cli.data.pairs import files as module
from minform_cli.data.pairs.files import Pairs, open_pairs
from minform_cli.data.text import lines as reader
from minform_cli.errors import InputError
from tests.data.text.prose import written


def opened(folder: Path, source: str | bytes, target: str | bytes, end: str = "") -> Pairs:
    names = [written(folder / f"{name}{end}", each) for name, each in (("one", source), ("two", target))]
    return open_pairs("data.source", names[0], "data.target", names[1])


def read(pairs: Pairs) -> list[list[str]]:
    return [[sentence for block in file.blocks() for sentence in block] for file in pairs.files]


def test_line_n_of_one_belongs_to_line_n_of_the_other(tmp_path: Path) -> None:
    pairs = opened(tmp_path, "a b\nc\n", "x\ny z\n")
    assert len(pairs) == 2
    assert read(pairs) == read(pairs) == [["a b", "c"], ["x", "y z"]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"a\nb", ["a", "b"], id="no feed at the end"),
        pytest.param(b"a\r\nb\r\n", ["a", "b"], id="CRLF"),
        pytest.param(b"a\r\nb\r", ["a", "b"], id="CRLF, cut"),
        pytest.param(b"a\rb\nc\n", ["a\rb", "c"], id="a carriage return inside"),
        pytest.param(b"\xef\xbb\xbfa\nb\n", ["a", "b"], id="byte order mark"),
        pytest.param(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"], id="a mark opens a file and no line"),
        pytest.param(b"a\nb\n", ["a", "b"], id="shorter than all else"),
        pytest.param(b" a  b \n\tc\n", [" a  b ", "\tc"], id="blanks around and inside stay"),
        pytest.param(
            "a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\x1dh\x1ei\n\u3042\n".encode(),
            ["a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\x1dh\x1ei", "\u3042"],
            id="what others take for the end of a line",
        ),
    ],
)
def test_a_line_ends_at_a_line_feed_and_nowhere_else(tmp_path: Path, content: bytes, expected: list[str]) -> None:
    assert read(opened(tmp_path, content, "x\ny\n"))[0] == expected
    assert read(opened(tmp_path, gzip.compress(content), gzip.compress(b"x\ny\n"), ".GZ"))[0] == expected


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
def test_sentences_do_not_depend_on_the_size_of_what_is_read_at_once(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "CHUNK_BYTES", size)
    lines = ["\u00e4\u3042", "b", "\U0001f600 c d e f", "g"]
    pairs = opened(tmp_path, "\r\n".join(lines), "\n".join(lines) + "\n")
    assert read(pairs) == [lines, lines]


CASES = [
    (b"", "is empty"),
    (b"\xef\xbb\xbf", "is empty"),
    (b"\n", "line 1 is empty"),
    (b"a\nb\n\nd\n", "line 3 is empty"),
    (b"a\nb\n\n", "line 3 is empty"),
    (b"a\r\n\r\nb\r\n", "line 2 is empty"),
    (b"a\n \t \nb\n", "line 2 is blank"),
    ("a\nb\n\u3000\u2028\n".encode(), "line 3 is blank"),
    (b"a\nb\0c\n", "line 2 holds a NUL byte"),
    ("a\nb\n".encode("utf-16"), "line 1 holds a NUL byte"),
    (b"a\nb\nc\xff\n", "line 3 is not UTF-8: invalid start byte"),
    (b"a\nb\nc\xe4", "line 3 is not UTF-8: unexpected end of data"),
    (b"a\n\xed\xa0\x80\n", "line 2 is not UTF-8"),
]


@pytest.mark.parametrize(("content", "problem"), CASES)
@pytest.mark.parametrize("size", [1, 4, 2**20])
def test_a_line_that_is_no_sentence_is_refused_with_its_number(
    tmp_path: Path, content: bytes, problem: str, size: int, monkeypatch: pytest.MonkeyPatch, refused
) -> None:
    monkeypatch.setattr(reader, "CHUNK_BYTES", size)
    assert f"data.source: '{tmp_path}/one': {problem}" in refused(InputError, opened, tmp_path, content, "x\n")
    assert f"data.target: '{tmp_path}/two': {problem}" in refused(InputError, opened, tmp_path, "x\n", content)
    packed = gzip.compress(content)
    message = refused(InputError, opened, tmp_path, packed, gzip.compress(b"x\n"), ".gz")
    assert f"data.source: '{tmp_path}/one.gz': {problem}" in message


@pytest.mark.parametrize("size", [7, 2**20])
def test_a_line_that_would_fill_the_memory_is_refused(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch, refused
) -> None:
    monkeypatch.setattr(reader, "CHUNK_BYTES", size)
    content = b"a\nb\n" + b"c" * (module.LONGEST_BYTES + size + 1)
    monkeypatch.setattr(module, "LONGEST_BYTES", 50 if size == 7 else module.LONGEST_BYTES)
    message = refused(InputError, opened, tmp_path, content[:200] if size == 7 else content, "x\n")
    assert "line 3 is longer than" in message


def test_a_long_line_is_refused_wherever_it_ends(tmp_path: Path, refused) -> None:
    most = "é" * (module.LONGEST_BYTES // 2)
    assert opened(tmp_path, f"a\n{most}\nb\n", "x\n" * 3).source.num == 3
    for more in ("é", "c"):
        message = refused(InputError, opened, tmp_path, f"a\n{most}{more}\nb\n", "x\n" * 3)
        assert message.startswith(f"data.source: '{tmp_path}/one': line 2 is longer than 32,768 bytes; accepted: ")
    assert "line 3 is longer" in refused(InputError, opened, tmp_path, "x\n" * 3, f"a\nb\n{most}{most}\n")


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path / "a.en", "a\n")
    assert open_pairs("data.source", "~/a.en", "data.target", "~/a.en").source.num == 1
    message = refused(InputError, open_pairs, "data.source", "~/a.en", "data.target", "~nobody-has-this-name/a.de")
    assert message.startswith("data.target: '~nobody-has-this-name/a.de': cannot be read: ")


def test_files_of_unequal_length_are_refused_with_both_numbers(tmp_path: Path, refused) -> None:
    message = refused(InputError, opened, tmp_path, "a\n" * 1200, "x\n" * 1199)
    assert message == (
        f"data.target: '{tmp_path}/two': has 1,199 lines, and data.source: '{tmp_path}/one' has 1,200; "
        "accepted: as many, line n of one the translation of line n of the other"
    )


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda packed: packed[:-20], id="cut"),
        pytest.param(lambda packed: packed[:40] + bytes([packed[40] ^ 0xFF]) + packed[41:], id="a byte inside"),
        pytest.param(lambda packed: packed[:-8] + b"12345678", id="checksum"),
        pytest.param(lambda packed: packed + b"more", id="more behind"),
        pytest.param(lambda _: b"a\nb\n", id="not packed"),
        pytest.param(lambda _: b"\x1f\x8b", id="the first two bytes"),
    ],
)
def test_a_damaged_gzip_is_refused(tmp_path: Path, damage, refused) -> None:
    packed = gzip.compress(b"".join(b"%d some words\n" % (n * n) for n in range(500)))
    message = refused(InputError, opened, tmp_path, damage(packed), gzip.compress(b"x\n"), ".gz")
    assert message.startswith(f"data.source: '{tmp_path}/one.gz': cannot be read: ")
    assert "accepted: a UTF-8 file" in message


def test_what_is_no_file_is_refused(tmp_path: Path, refused) -> None:
    there = written(tmp_path / "train.en", "a\n")

    def message(path: str) -> str:
        return refused(InputError, open_pairs, "data.source", there, "data.target", path)

    assert "no such file; did you mean 'train.en'?; accepted:" in message(f"{tmp_path}/train.de")
    written(tmp_path / ".train.fr", "a\n")
    assert "no such file; did you mean 'train.en'?; accepted:" in message(f"{tmp_path}/train.fr"), "not a hidden one"
    assert "no such file; accepted:" in message(f"{tmp_path}/no/folder/x")
    assert f"data.target: '{tmp_path}': is a folder; accepted: a UTF-8 file" in message(str(tmp_path))
    assert "data.target: 'a\\x00b': no such file" in message("a\0b")
    assert "cannot be read: File name too long" in message("x" * 5000)
    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in message(f"{tmp_path}/pipe")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, refused) -> None:
    pairs = opened(tmp_path, "a\nb\n", "x\ny\n")
    written(tmp_path / "one", "a\nc\n")
    assert "changed while it was read" in refused(InputError, list, pairs.source.blocks())
