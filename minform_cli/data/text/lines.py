"""The one reader of texts: in chunks, so that they may be larger than the memory; what is no text is refused."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minform_cli.errors import InputError, MachineError, unread

CHUNK_BYTES = 2**20
"""Read at once."""

NEAR_BYTES = 2**10
"""Of the same line, looked at behind what is not UTF-8."""


@dataclass(frozen=True)
class TextFile:
    """One text.

    Attributes:
        where: how messages name it.
        open: its bytes from the start, unpacked.
        accepted: ends messages: what would be taken.
    """

    where: str
    open: Callable[[], io.BufferedIOBase]
    accepted: str = "accepted: UTF-8 text"

    def chunks(self, hashed: Callable[[bytes], None]) -> Iterator[tuple[str, int]]:
        """The text without a byte order mark, and the bytes each chunk was made of; `hashed` is called with them.

        Raises:
            InputError: it cannot be read or is no UTF-8 text; the message names the line.
        """
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        lines, raw = 1, b"first"
        try:
            with self.open() as stream:
                while raw:
                    raw = stream.read(CHUNK_BYTES)
                    hashed(raw)
                    if b"\0" in raw:
                        line = lines + raw.count(b"\n", 0, raw.index(b"\0"))
                        raise self.refused(f"line {line:,} holds a NUL byte, so this is no text")
                    try:
                        text = decoder.decode(raw, final=not raw)
                    except UnicodeDecodeError as error:
                        line = lines + bytes(error.object).count(b"\n", 0, error.start)
                        # UTF-16 is told by its NUL bytes, even where the chunk ends before the first of them.
                        if b"\n" not in error.object[error.start :] and b"\0" in stream.readline(NEAR_BYTES):
                            raise self.refused(f"line {line:,} holds a NUL byte, so this is no text") from None
                        raise self.refused(f"line {line:,} is not UTF-8: {error.reason}") from None
                    yield text, len(raw)
                    lines += raw.count(b"\n")
        except (OSError, EOFError, zlib.error) as error:
            raise self.unreadable(error) from None

    def lines(self, hashed: Callable[[bytes], None], longest_bytes: int) -> Iterator[tuple[int, list[str]]]:
        """Many lines at once, without what ends them, and the number of the first; the file's last may lack its end.

        Only a line feed ends a line, with or without a carriage return before it: signs that other programs take for
        an end (U+2028, form feeds) stay in the line.

        Raises:
            InputError: as `chunks` raises it; or a line has more than `longest_bytes`.
        """
        first, rest = 1, ""
        for text, _ in self.chunks(hashed):
            *whole, rest = (rest + text).split("\n")
            for line, content in enumerate((*whole, rest), first):
                # A character has four bytes at most: most lines are seen to be short enough without counting theirs.
                if 4 * len(content) > longest_bytes and len(content.encode()) > longest_bytes:
                    raise self.refused(f"line {line:,} is longer than {longest_bytes:,} bytes")
            if whole:
                yield first, [line.removesuffix("\r") for line in whole]
                first += len(whole)
        if rest:
            yield first, [rest.removesuffix("\r")]

    def refused(self, problem: str) -> InputError:
        """What is wrong with it, and what would be accepted."""
        return InputError(self._message(problem))

    def unreadable(self, error: Exception) -> InputError | MachineError:
        """Likewise of what the system or the unpacking says."""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return unread(error, self._message(f"cannot be read: {reason}"))

    def _message(self, problem: str) -> str:
        return f"{self.where}: {problem}; {self.accepted}"


def opener(path: Path) -> Callable[[], io.BufferedIOBase]:
    """Opens the file at `path`; unpacks one that ends with ``.gz``."""
    if path.name.lower().endswith(".gz"):
        return lambda: gzip.open(path, "rb")
    return lambda: path.open("rb")


def changed(where: str) -> InputError:
    """A text that is not what it was when it was looked through."""
    return InputError(f"{where}: changed while it was read; try again once nothing writes to it")
