"""Sentences as tokens: one after another in one array, with the places where each example begins.

An example is ``[CLS] a [SEP]`` or, for a pair, ``[CLS] a [SEP] b [SEP]``; of a pair that is too long, tokens are taken
from the end of the longer sentence, one by one.
Source: BERT, arXiv 1810.04805, section 3 and appendix A.2; the order of cutting as in its published code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.glue.table import Table
from minform_cli.data.spec import TextSpec
from minform_cli.data.text.ragged import Ragged, ragged

if TYPE_CHECKING:
    from minform_cli.data.text.tokenizer import Vocabulary

CHUNK = 10_000
"""Examples that are cut into tokens at once, so that lists of numbers need little memory beside the arrays."""


@dataclass(frozen=True)
class SentenceSplit(Ragged):
    """One split: its examples as rows of tokens.

    Attributes:
        seconds: (n,) how many tokens of each example stand before its second sentence, int64; None: there is no second.
        labels: (n,) class numbers, int64; or scores, float32.
        num_cut: how many examples were too long.
    """

    seconds: NDArray[np.int64] | None
    labels: NDArray[Any]
    num_cut: int

    def take(self, places: NDArray[np.intp]) -> SentenceSplit:
        """The examples at `places`, in that order."""
        rows = self.rows(places)
        seconds = None if self.seconds is None else self.seconds[places]
        return SentenceSplit(rows.tokens, rows.offsets, seconds, self.labels[places], num_cut=0)


@dataclass(frozen=True)
class SentenceData:
    """What a run trains and measures on.

    Attributes:
        spec: title, classes, sizes; the sizes are those of the splits below.
        train: after `data.limit`.
        val: the published validation set.
        test: None, as the labels of the test sets are not published.
        pad: the token that fills up a batch.
        fingerprint: SHA-256 in hex over the splits and the tokenizer.
        tokenizer: content of ``tokenizer.json``.
        notes: what the user should know, a sentence each.
    """

    spec: TextSpec
    train: SentenceSplit
    val: SentenceSplit
    test: None
    pad: int
    fingerprint: str
    tokenizer: bytes
    notes: tuple[str, ...]


def encoded(table: Table, vocabulary: Vocabulary, seq_len: int) -> SentenceSplit:
    """The examples of `table` as tokens, at most `seq_len` each."""
    special = vocabulary.special
    is_pair = len(table.texts) > 1
    pieces: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    seconds: list[int] = []
    num_cut = 0
    for start in range(0, len(table), CHUNK):
        columns = [vocabulary.encode(column[start : start + CHUNK]) for column in table.texts]
        flat: list[int] = []
        for sentences in zip(*columns, strict=True):
            counts = [len(sentence) for sentence in sentences]
            kept = shortened(counts, seq_len - 1 - len(sentences))
            num_cut += kept != counts
            flat.append(special.cls)
            for sentence, count in zip(sentences, kept, strict=True):
                flat += sentence[:count]
                flat.append(special.sep)
            lengths.append(1 + sum(kept) + len(kept))
            seconds.append(2 + kept[0])
        pieces.append(np.array(flat, dtype=np.int32))
    rows = ragged(np.concatenate(pieces), np.array(lengths, dtype=np.int64))
    places = np.array(seconds, dtype=np.int64) if is_pair else None
    return SentenceSplit(rows.tokens, rows.offsets, places, table.labels, num_cut)


def shortened(counts: Sequence[int], most: int) -> list[int]:
    """How many tokens are kept of one sentence or two with `counts` tokens, where there is room for `most`.

    Taking them one by one from the longer of two, or from the second where they are equally long, ends here.
    """
    if len(counts) == 1:
        return [min(counts[0], most)]
    first, second = counts
    return [min(first, max(most - second, most - most // 2)), min(second, max(most - first, most // 2))]


def fingerprint(splits: Mapping[str, SentenceSplit], tokenizer: bytes) -> str:
    """SHA-256 in hex over names, tokens, labels and the tokenizer; equal on every machine."""
    digest = hashlib.sha256(hashlib.sha256(tokenizer).digest())
    for name, split in splits.items():
        digest.update(f"{name} {len(split)} {split.seconds is not None} ".encode())
        split.update_digest(digest.update)
        if split.seconds is not None:
            digest.update(split.seconds.astype("<i8").tobytes())
        digest.update(split.labels.astype("<f4" if split.labels.dtype.kind == "f" else "<i8").tobytes())
    return digest.hexdigest()
