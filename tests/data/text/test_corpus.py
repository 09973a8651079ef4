"""Reading text: what a document is, in which order files are read, and every way a text can be wrong."""

from __future__ import annotations

import gzip
import os
import stat
from pathlib import Path

import pytest

from minform_cli.data.text import lines as lines_module
from minform_cli.data.text.corpus import PIECE_CHARS, Corpus, Piece, open_corpus
from minform_cli.errors import InputError
from tests.data.text.prose import prose, written


def opened(path: Path | str) -> Corpus:
    return open_corpus("data.path", str(path), "the text to train on")


def documents(corpus: Corpus) -> list[str]:
    found, part = [], ""
    for piece in corpus.pieces():
        part += piece.text
        if piece.last:
            found.append(part)
            part = ""
    assert not part, "the last piece ends a document"
    return found


def test_documents_are_runs_of_lines_between_blank_ones(tmp_path: Path) -> None:
    text = "\ufeff\n  \none\ntwo \r\n\r\n\n\t\nthree é 中\n\u2003\n four"
    assert documents(opened(written(tmp_path / "a", text))) == ["one\ntwo ", "three é 中", " four"]


def test_a_folder_is_read_in_the_order_of_relative_paths_packed_or_not(tmp_path: Path) -> None:
    for name, text in (("b.txt", "4"), ("a/z.TXT", "3"), ("a/b.txt.gz", "1"), ("a/c/x.txt", "2"), ("a/n.md", "no")):
        written(tmp_path / name, gzip.compress(text.encode()) if name.endswith("gz") else text)
    written(tmp_path / "empty.txt", "")
    assert documents(opened(tmp_path)) == ["1", "2", "3", "4"]


def test_a_packed_text_is_the_same_text(tmp_path: Path) -> None:
    plain, packed = written(tmp_path / "a.txt", prose(50)), tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(prose(50).encode()))
    assert documents(opened(plain)) == documents(opened(packed))
    assert opened(plain).digest == opened(packed).digest
    assert opened(plain).size_bytes == opened(packed).size_bytes == len(prose(50))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_documents_do_not_depend_on_the_size_of_the_chunks(tmp_path: Path, monkeypatch, size: int) -> None:
    path = written(tmp_path / "a", "\ufeff" + "é中😀 x\r\n\r\n" * 5 + prose(4))
    whole = documents(opened(path))
    assert len(whole) == 9
    monkeypatch.setattr(lines_module, "CHUNK_BYTES", size)
    assert documents(opened(path)) == whole


@pytest.mark.parametrize("text", ["word " * 60_000, "x" * 300_000, ("word " * 20 + "\n") * 3_000, "x" * PIECE_CHARS])
def test_a_long_document_comes_in_pieces_that_add_up_to_it(tmp_path: Path, text: str) -> None:
    pieces = list(opened(written(tmp_path / "a", f"{text}\n\nnext")).pieces())
    assert max(len(piece.text) for piece in pieces) <= PIECE_CHARS + 1, "and a line feed"
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 2) + [True, True]
    assert "".join(piece.text for piece in pieces[:-1]) == text.removesuffix("\n")
    # A word is cut where there is no space for as long as a piece, and nowhere else.
    assert all(piece.text[0] in " x" or piece.text.startswith("word") for piece in pieces[:-1])


def test_progress_counts_the_unpacked_bytes(tmp_path: Path) -> None:
    pieces = list(opened(written(tmp_path / "a", prose(50))).pieces())
    assert pieces[-1] == Piece(prose(50).rstrip().rpartition("\n\n")[2], True, len(prose(50)))


def test_a_changed_letter_or_file_boundary_changes_the_digest_and_time_does_not(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        written(tmp_path / name, "one\n\ntwo\n\n")
    first = opened(tmp_path).digest
    os.utime(tmp_path / "a.txt", ns=(1, 1))
    assert opened(tmp_path).digest == first
    status = (tmp_path / "a.txt").stat()
    written(tmp_path / "a.txt", "ona\n\ntwo\n\n")
    os.utime(tmp_path / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    second = opened(tmp_path).digest
    written(tmp_path / "a.txt", "ona\n\n")
    written(tmp_path / "b.txt", "two\n\none\n\ntwo\n\n")
    assert len({first, second, opened(tmp_path).digest}) == 3


def test_a_text_that_changes_between_looking_and_reading_is_refused(tmp_path: Path, refused) -> None:
    corpus = opened(written(tmp_path / "a", prose(3)))
    written(tmp_path / "a", prose(3, seed=1))
    assert "'" + str(tmp_path / "a") + "': changed while it was read" in refused(InputError, documents, corpus)


ACCEPTED = "; accepted: a UTF-8 text file, or a folder of *.txt or *.txt.gz"


def test_a_missing_path_is_told_with_what_it_is_for(refused) -> None:
    message = refused(InputError, open_corpus, "data.path", None, "the text to train on")
    assert message == "data.path: is missing: the text to train on" + ACCEPTED


def test_a_name_that_is_not_there_is_told_with_the_nearest(tmp_path: Path, refused) -> None:
    written(tmp_path / "story.txt", "x")
    path = str(tmp_path / "stroy.txt")
    found = refused(InputError, opened, path)
    assert found == f"data.path: {path!r}: no such file or folder; did you mean 'story.txt'?" + ACCEPTED


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty or holds nothing but blanks"),
        (b" \n\t\r\n\xe2\x80\x83\n", "is empty or holds nothing but blanks"),
        (b"one\ntwo\n\nth\xffree\n", "line 4 is not UTF-8: invalid start byte"),
        (b"one\ntwo \xe4\xb8", "line 2 is not UTF-8: unexpected end of data"),
        (b"one\n" * 600_000 + b"\xc3(", "line 600,001 is not UTF-8: invalid continuation byte"),
        (b"one\nt\0wo", "line 2 holds a NUL byte"),
        ("some text".encode("utf-16-le"), "line 1 holds a NUL byte"),
    ],
)
def test_what_is_no_text_is_refused_with_file_and_line(tmp_path: Path, refused, content: bytes, told: str) -> None:
    path = written(tmp_path / "a.txt", content)
    for given in (path, str(tmp_path)):
        message = refused(InputError, opened, given)
        assert told in message
        assert message.startswith(f"data.path: {given if 'blanks' in told else path!r}"[:20])
        assert ("a.txt" in message) == (given == path or "blanks" not in told)


@pytest.mark.parametrize("damage", ["cut", "flipped", "plain"])
def test_a_damaged_packed_file_is_refused(tmp_path: Path, refused, damage: str) -> None:
    packed = gzip.compress(prose(300).encode(), mtime=0)
    content = {"cut": packed[:-20], "flipped": packed[:400] + b"\0\0\0\0" + packed[404:], "plain": b"just text"}[damage]
    message = refused(InputError, opened, written(tmp_path / "a.txt.gz", content))
    assert message.startswith(f"data.path: {str(tmp_path / 'a.txt.gz')!r}: ")


def test_a_folder_without_text_and_what_is_no_file_are_refused(tmp_path: Path, refused) -> None:
    written(tmp_path / "a.md", "text")
    assert "there is no text in this folder" in refused(InputError, opened, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert "is neither a file nor a folder" in refused(InputError, opened, tmp_path / "pipe")
    assert "cannot be read: File name too long" in refused(InputError, opened, tmp_path / ("x" * 5_000))
    assert "no such file or folder" in refused(InputError, opened, "a\0b\n")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_path_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch, refused, what: str) -> None:
    # Root may read anything whatever the mode bits say, so the refusal is put in by hand.
    def fail(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", "x")

    path = written(tmp_path / "in" / "a.txt", prose(2))
    monkeypatch.setattr(*((Path, "open") if what == "file" else (os, "scandir")), fail)
    message = refused(InputError, opened, path if what == "file" else tmp_path / "in")
    assert "cannot be read: Permission denied" in message
