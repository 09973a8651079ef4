"""Text files as a stream of documents: read in chunks, so that a text may be larger than the memory.

A document is a run of lines between blank lines. Its lines stay lines: WordPiece takes the end of a line for a space,
and a byte-level tokenizer keeps it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from minform_cli.data.text.lines import TextFile, changed, opener
from minform_cli.data.walk import some_names, walk
from minform_cli.errors import InputError, did_you_mean_file, unread
from minform_cli.files import user_path

PIECE_CHARS = 2**16
"""A longer document is handed on in pieces of about so many characters."""

ACCEPTED = "accepted: a UTF-8 text file, or a folder of *.txt or *.txt.gz"

SUFFIXES = (".txt", ".txt.gz")
"""Files of a folder that are read."""


class Piece(NamedTuple):
    """A document, or a part of one that is very long.

    Attributes:
        text: never empty; lines are separated by line feeds.
        last: whether the document ends here.
        bytes_read: of the whole text, up to about here.
    """

    text: str
    last: bool
    bytes_read: int


@dataclass(frozen=True)
class Corpus:
    """Texts that were looked through once.

    Attributes:
        where: how messages name it.
        place: the folder or file, the same from wherever it is looked at.
        files: in the order they are read.
        size_bytes: of all, unpacked.
        digest: SHA-256 in hex over their contents.
        paths: the files as they really lie, whatever links lead to them; none of a text that is no file.
        notes: what the user should know of the folder, a sentence each.
    """

    where: str
    place: str
    files: tuple[TextFile, ...]
    size_bytes: int
    digest: str
    paths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def pieces(self) -> Iterator[Piece]:
        """All documents; the end of a file ends one, too.

        Raises:
            InputError: a file has changed since it was looked through.
        """
        read, digest = 0, hashlib.sha256()
        for file in self.files:
            own, document, opens = hashlib.sha256(), "", True
            for line, size in _lines(file, own.update):
                read += size
                # Only a whole line can be a blank one, not a part of one that is very long.
                blank = opens and line.endswith("\n") and line.isspace()
                opens = line.endswith("\n")
                if document and (blank or len(document) + len(line) > PIECE_CHARS):
                    yield Piece(document.removesuffix("\n") if blank else document, blank, read)
                    document = ""
                document += "" if blank else line
            if document:
                yield Piece(document.removesuffix("\n"), True, read)
            digest.update(own.digest())
        if digest.hexdigest() != self.digest:
            raise changed(self.where)


@dataclass(frozen=True)
class Documents:
    """The texts of a corpus without more; it can be gone through again and again.

    Attributes:
        corpus: where they come from.
        told: called with the bytes read so far.
    """

    corpus: Corpus
    told: Callable[[int], None]

    def __iter__(self) -> Iterator[str]:
        for piece in self.corpus.pieces():
            self.told(piece.bytes_read)
            yield piece.text


def open_corpus(key: str, path: str | None, purpose: str) -> Corpus:
    """Looks through the text at `path`: a file, or a folder with all its `.txt` and `.txt.gz`, sorted by their names.

    Args:
        key: the setting that `path` is from, for messages.
        path: as the user wrote it.
        purpose: what the text is for, for the message that there is none.

    Raises:
        InputError: there is no path, no text there, or what is there cannot be read or is no UTF-8 text.
    """
    if not path:
        raise InputError(f"{key}: is missing: {purpose}; {ACCEPTED}")
    where = f"{key}: {path!r}"
    notes: tuple[str, ...] = ()
    try:
        place = user_path(path)
        if place.is_dir():
            found, notes = _inside(place)
            if not found:
                raise InputError(f"{where}: there is no text in this folder; {ACCEPTED}")
            files = [TextFile(f"{key}: {str(file)!r}", opener(file), ACCEPTED) for file in found]
        elif place.is_file():
            found = [place]
            files = [TextFile(where, opener(place), ACCEPTED)]
        elif place.exists():
            raise InputError(f"{where}: is neither a file nor a folder; {ACCEPTED}")
        else:
            raise InputError(f"{where}: no such file or folder{did_you_mean_file(place)}; {ACCEPTED}")
    except (OSError, RuntimeError, ValueError) as error:  # a folder that may not be entered; no such user; a NUL
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise unread(error, f"{where}: cannot be read: {reason}; {ACCEPTED}") from None
    paths = tuple(str(file.resolve()) for file in found)
    return replace(look_through(where, str(place.resolve()), files), paths=paths, notes=notes)


def look_through(where: str, place: str, files: list[TextFile]) -> Corpus:
    """The corpus of `files`, as `Corpus` has it, once all of them are known to be text.

    Raises:
        InputError: one cannot be read or is no UTF-8 text, or there are nothing but blanks in all.
    """
    digest, size, blank = hashlib.sha256(), 0, True
    for file in files:
        own = hashlib.sha256()
        for text, length in file.chunks(own.update):
            size += length
            blank = blank and (not text or text.isspace())
        digest.update(own.digest())  # of each by itself: where one file ends and the next begins is a part of it
    if blank:
        raise InputError(f"{where}: is empty or holds nothing but blanks; there must be text in it")
    return Corpus(where, place, tuple(files), size, digest.hexdigest())


def is_text(name: str) -> bool:
    """Whether the file `name` of a folder is read."""
    return name.lower().endswith(SUFFIXES)


def _inside(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The texts below `folder`, sorted by their names relative to it, and what to say of other files there.

    Links to folders are not followed.
    """
    files = sorted((name, entry) for name, entry in walk(folder) if entry.is_file())
    found = [Path(entry.path) for name, entry in files if is_text(name)]
    others = [name for name, _ in files if not is_text(name)]
    left_out = f"left out of the text, as they are no {' or '.join(SUFFIXES)}: {some_names(others, 3)}"
    return found, (left_out,) if others else ()


def _lines(file: TextFile, hashed: Callable[[bytes], None]) -> Iterator[tuple[str, int]]:
    """Lines with a line feed at their end, and the bytes read since the one before; a very long one in parts."""
    rest, unread = "", 0
    for text, size in file.chunks(hashed):
        unread += size
        *whole, rest = (rest + text).split("\n")
        *parts, rest = _parts(rest)
        for line in whole:
            *parts_before, end = _parts(line.removesuffix("\r"))
            for part in (*parts_before, end + "\n"):
                yield part, unread
                unread = 0
        for part in parts:
            yield part, unread
            unread = 0
    if rest:
        yield rest + "\n", unread


def _parts(line: str) -> list[str]:
    """`line` cut into parts no longer than a piece, each ending before a space where there is one."""
    parts: list[str] = []
    while len(line) > PIECE_CHARS:
        cut = line.rfind(" ", 1, PIECE_CHARS)
        parts.append(line[: cut if cut > 0 else PIECE_CHARS])
        line = line[len(parts[-1]) :]
    return [*parts, line]
