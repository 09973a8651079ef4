"""A text as one long row of tokens: made once for each text and tokenizer, then mapped from the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tokenizers
from numpy.typing import NDArray

from minform_cli.data.cache import digest_of
from minform_cli.data.text.corpus import Corpus, Piece
from minform_cli.data.text.mapped import Mapped, Put, mapped
from minform_cli.data.text.tokenizer import Vocabulary
from minform_cli.data.text.vocabulary import FORMAT, Tell, now_and_then

BATCH_CHARS = 2**20
"""Tokenised at once: enough for all cores, little beside the model."""

Tokens = NDArray[np.uint16] | NDArray[np.uint32]


class Row(NamedTuple):
    """All tokens of a text; every document ends with the entry that separates them.

    Attributes:
        tokens: (tokens,), mapped and read-only.
        sha256: of their bytes, in hex.
    """

    tokens: Tokens
    sha256: str


@dataclass(frozen=True)
class Sequences:
    """Spans of one length of a row of tokens.

    Attributes:
        tokens: the row.
        length: of a span, in tokens; span i begins at token i times this.
        chosen: (n,) spans that belong to the split.
    """

    tokens: Tokens
    length: int
    chosen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens of the sequences at `indices`, (indices, length). Nothing else of the row is read."""
        num = len(self.tokens) // self.length
        spans = self.tokens[: num * self.length].reshape(num, self.length)
        return spans[self.chosen[indices]].astype(np.int64)


def row_of(corpus: Corpus, vocabulary: Vocabulary, slot: str, tell: Tell) -> Row:
    """The tokens of `corpus`.

    Args:
        corpus: the text.
        vocabulary: what it is tokenised with.
        slot: what stays the same when the text or a trained tokenizer changes; the cache keeps one row under it.
        tell: called with a sentence every few seconds, while a long text is tokenised.

    Raises:
        InputError: as `Corpus.pieces` or `Vocabulary.encode` raises it.
        MachineError: as `mapped` raises it.
    """
    width = np.dtype("<u2" if vocabulary.size <= 2**16 else "<u4")

    def write(put: Put) -> None:
        told = progress(tell, "tokenised", corpus)
        pieces: list[Piece] = []
        chars, started = 0, False
        for piece in corpus.pieces():
            pieces.append(piece)
            chars += len(piece.text)
            if chars >= BATCH_CHARS:
                started = _put_tokens(pieces, started, vocabulary, width, put)
                told(piece.bytes_read)
                pieces, chars = [], 0
        _put_tokens(pieces, started, vocabulary, width, put)

    json = hashlib.sha256(vocabulary.json).hexdigest()
    key = digest_of(FORMAT, tokenizers.__version__, corpus.digest, json, width.str)
    # A token is rarely shorter than two bytes of the text.
    found: Mapped = mapped(f"tokens-{slot}", key, corpus.size_bytes // 2 * width.itemsize, write)
    return Row(found.content.view(width), found.sha256)


def _put_tokens(
    pieces: list[Piece], started: bool, vocabulary: Vocabulary, width: np.dtype[np.generic], put: Put
) -> bool:
    """Appends the tokens of `pieces`, and what separates documents.

    Args:
        started: whether the document that the first piece belongs to has tokens already: one without any leaves
            nothing, so that no two separators follow each other.

    Returns:
        Likewise of the last piece.
    """
    tokens: list[int] = []
    for piece, entries in zip(pieces, vocabulary.encode([piece.text for piece in pieces]), strict=True):
        tokens += entries
        started = started or bool(entries)
        if piece.last and started:
            tokens.append(vocabulary.special.sep)
            started = False
    put(np.array(tokens, dtype=width).tobytes())
    return started


def progress(tell: Tell, done: str, corpus: Corpus) -> Callable[[int], None]:
    """Takes the bytes read so far; says so now and then, for example ``tokenised 120 of 512 MB``."""
    whole = f"of {corpus.size_bytes / 1e6:,.0f} MB"
    return now_and_then(tell, lambda bytes_read: f"{done} {bytes_read / 1e6:,.0f} {whole}")
