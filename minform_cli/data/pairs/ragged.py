"""Sentences of many lengths as tokens: one after another in one array, with the places where each begins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import chain

import numpy as np
import tokenizers
from numpy.typing import NDArray

from minform_cli.data.cache import digest_of
from minform_cli.data.pairs.files import SentenceFile
from minform_cli.data.text.kept import Put, kept
from minform_cli.data.text.tokenizer import Vocabulary
from minform_cli.data.text.vocabulary import FORMAT, Tell, now_and_then
from minform_cli.errors import counted


@dataclass(frozen=True)
class Ragged:
    """Sentences as tokens, without special ones.

    Attributes:
        tokens: of all sentences, one after another, int32.
        offsets: (n + 1,) where each sentence begins and the last one ends, int64.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> NDArray[np.int32]:
        """The tokens of one."""
        return self.tokens[self.offsets[place] : self.offsets[place + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,) tokens of each."""
        return np.diff(self.offsets)

    def where(self, wanted: NDArray[np.bool_]) -> Ragged:
        """Those of the sentences that are `wanted` (n,), in their order."""
        if wanted.all():
            return self
        lengths = self.lengths
        return ragged(self.tokens[np.repeat(wanted, lengths)], lengths[wanted])


def ragged(tokens: NDArray[np.int32], lengths: NDArray[np.int64]) -> Ragged:
    """Sentences of `lengths` (n,) that stand one after another in `tokens`."""
    return Ragged(tokens, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def encoded(file: SentenceFile, vocabulary: Vocabulary, slot: str, tell: Tell) -> Ragged:
    """The sentences of `file` as tokens.

    Args:
        file: of sentences.
        vocabulary: what they are tokenised with.
        slot: what stays the same when the file or a trained tokenizer changes; the cache keeps its tokens under it.
        tell: called with a sentence every few seconds, while a long file is tokenised.

    Raises:
        InputError: as `SentenceFile.blocks` or `Vocabulary.encode` raises it.
        MachineError: as `kept` raises it.
    """

    def write(put: Put) -> None:
        lengths: list[NDArray[np.int32]] = []
        done, told = 0, now_and_then(tell, lambda num: f"tokenised {num:,} of {counted(file.num, 'sentence')}")
        for block in file.blocks():
            entries = vocabulary.encode(block)
            lengths.append(np.array([len(each) for each in entries], dtype="<i4"))
            put(np.fromiter(chain.from_iterable(entries), "<i4", int(lengths[-1].sum())).tobytes())
            done += len(block)
            told(done)
        put(np.concatenate(lengths).tobytes())  # behind the tokens: only now all are known

    json = hashlib.sha256(vocabulary.json).hexdigest()
    key = digest_of("pairs", FORMAT, tokenizers.__version__, file.digest, json)
    expected_bytes = 200 * file.num  # a sentence of 50 tokens
    content = kept(f"pairs-{slot}", key, expected_bytes, write).content
    # Into memory: batches take sentences from all over the file.
    numbers = np.frombuffer(content.tobytes(), "<i4").astype(np.int32, copy=False)
    return ragged(numbers[: -file.num], numbers[-file.num :].astype(np.int64))
