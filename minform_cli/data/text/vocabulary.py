"""The tokenizer of a data set: a file of the user's, or trained on its texts once and then kept in the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import tokenizers

from minform_cli.config.schema import TOKENIZERS, DataConfig
from minform_cli.data.cache import digest_of
from minform_cli.data.text.mapped import Put, mapped
from minform_cli.data.text.tokenizer import Role, Vocabulary, from_json, loaded, trained
from minform_cli.errors import counted

FORMAT = 1
"""Version of what is kept in the cache: to be raised when reading or tokenising changes."""

TELL_EVERY_S = 5.0

Tell = Callable[[str], None]


class Origin(Protocol):
    """Text of the user's: a file, or a folder of them.

    Attributes:
        place: where it is, the same from wherever it is looked at.
        digest: SHA-256 of what it holds, in hex.
    """

    @property
    def place(self) -> str: ...  # noqa: D102

    @property
    def digest(self) -> str: ...  # noqa: D102


def vocabulary_for(
    data: DataConfig, sources: Sequence[Origin], texts: Callable[[], Iterable[str]], needs: Iterable[Role] = ()
) -> Vocabulary:
    """The tokenizer that `data` asks for.

    Args:
        data: says which.
        sources: what it is trained on.
        texts: their texts, which are read only if it has to be trained.
        needs: the special entries that it is used with, as `loaded` takes them.

    Raises:
        InputError: as `trained` or `loaded` raises it.
        MachineError: as `mapped` raises it.
    """
    if data.tokenizer not in TOKENIZERS:
        return loaded(data.tokenizer, data.vocab_size, needs)

    def write(put: Put) -> None:
        put(trained(data, texts()).json)

    places, digests = [source.place for source in sources], [source.digest for source in sources]
    slot = slot_of(data, *places)
    key = digest_of(FORMAT, tokenizers.__version__, *digests, data.tokenizer, data.vocab_size)
    content = mapped(f"tokenizer-{slot}", key, 0, write).content
    return from_json(content.tobytes(), "data.tokenizer")


def slot_of(data: DataConfig, *places: str) -> str:
    """Of the cache, for what is made of the texts at `places`: a changed text replaces what was made of it before.

    The texts that a tokenizer is trained on come first, as what it makes of others depends on them, too.
    """
    return digest_of(*places, data.tokenizer, data.vocab_size)[:20]


def unused_notes(data: DataConfig, vocabulary: Vocabulary) -> list[str]:
    """A sentence where the embedding has rows that no entry of the tokenizer uses."""
    unused = data.vocab_size - vocabulary.size
    if not unused:
        return []
    rows = counted(unused, "row of the embedding is", "rows of the embedding are")
    return [f"the tokenizer has {vocabulary.size:,} entries: {rows} never used"]


def now_and_then(tell: Tell, sentence: Callable[[int], str]) -> Callable[[int], None]:
    """Takes how far long work has come, and tells `sentence` of it every few seconds."""
    last = time.monotonic()

    def told(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= TELL_EVERY_S:
            tell(sentence(done))
            last = time.monotonic()

    return told
