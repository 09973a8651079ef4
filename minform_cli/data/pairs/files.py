"""Files of sentences, one a line: read in chunks, so that they may be larger than the memory.

Line n of one file is the translation of line n of another, so a line that is empty or no text is refused, never left
out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minform_cli.data.text.lines import TextFile, changed, opener
from minform_cli.errors import InputError, counted, did_you_mean_file, unread
from minform_cli.files import user_path

LONGEST_BYTES = 2**15
"""A longer line is no sentence, and a tokenizer can work on a single word of a megabyte for many minutes."""

ACCEPTED = "accepted: a UTF-8 file with one sentence a line, or one packed as .gz"


@dataclass(frozen=True)
class SentenceFile:
    """A file that was looked through once.

    Attributes:
        where: how messages name it.
        path: of it.
        num: how many sentences it has.
        digest: SHA-256 in hex over its content, unpacked.
    """

    where: str
    path: Path
    num: int
    digest: str

    @property
    def place(self) -> str:
        """The same from wherever the file is looked at."""
        return str(self.path.resolve())

    def blocks(self) -> Iterator[list[str]]:
        """Its sentences in their order, many at once.

        Raises:
            InputError: it has changed since it was looked through.
        """
        digest = hashlib.sha256()
        yield from _blocks(_text(self.where, self.path), digest.update)
        if digest.hexdigest() != self.digest:
            raise changed(self.where)


@dataclass(frozen=True)
class Pairs:
    """Two files of as many sentences: `source`, and their translations, `target`."""

    source: SentenceFile
    target: SentenceFile

    def __len__(self) -> int:
        return self.source.num

    @property
    def files(self) -> tuple[SentenceFile, SentenceFile]:
        """Both."""
        return self.source, self.target


@dataclass(frozen=True)
class Sentences:
    """All sentences of several files; they can be gone through again and again."""

    files: Iterable[SentenceFile]

    def __iter__(self) -> Iterator[str]:
        for file in self.files:
            for block in file.blocks():
                yield from block


def open_pairs(source_key: str, source: str, target_key: str, target: str) -> Pairs:
    """Looks through two files; the keys are the settings that their paths are from, for messages.

    Raises:
        InputError: one is missing, cannot be read or has a line that is no sentence; or they have not as many lines.
    """
    pairs = Pairs(_looked_through(source_key, source), _looked_through(target_key, target))
    if pairs.source.num != pairs.target.num:
        raise InputError(
            f"{pairs.target.where}: has {counted(pairs.target.num, 'line')}, and {pairs.source.where} has "
            f"{pairs.source.num:,}; accepted: as many, line n of one the translation of line n of the other"
        )
    return pairs


def _looked_through(key: str, name: str) -> SentenceFile:
    where = f"{key}: {name!r}"
    try:
        path = user_path(name)
        if path.is_dir():
            raise InputError(f"{where}: is a folder; {ACCEPTED}")
        if not path.exists():
            raise InputError(f"{where}: no such file{did_you_mean_file(path)}; {ACCEPTED}")
        if not path.is_file():
            raise InputError(f"{where}: is no file; {ACCEPTED}")
    except (OSError, RuntimeError, ValueError) as error:  # a folder that may not be entered; no such user; a NUL
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise unread(error, f"{where}: cannot be read: {reason}; {ACCEPTED}") from None
    digest = hashlib.sha256()
    num = sum(map(len, _blocks(_text(where, path), digest.update)))
    if not num:
        raise InputError(f"{where}: is empty; {ACCEPTED}")
    return SentenceFile(where, path, num, digest.hexdigest())


def _text(where: str, path: Path) -> TextFile:
    return TextFile(where, opener(path), ACCEPTED)


def _blocks(file: TextFile, hashed: Callable[[bytes], None]) -> Iterator[list[str]]:
    """The sentences of about a chunk at once; `hashed` is called with all bytes."""
    for first, sentences in file.lines(hashed, LONGEST_BYTES):
        for line, sentence in enumerate(sentences, first):
            if not sentence or sentence.isspace():
                what = "blank" if sentence else "empty"
                raise InputError(f"{file.where}: line {line:,} is {what}; accepted: a sentence in every line")
        yield sentences
