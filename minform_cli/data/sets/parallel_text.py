"""Sentence pairs in two languages. So far they can be counted, not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import PairSpec
from minform_cli.errors import InputError

if TYPE_CHECKING:
    from minform_cli.data.images import OfficialData

SUMMARY = "sentence pairs in two languages; to count models by, not yet to train on"
SOURCE = "sizes as data.vocab_size and data.seq_len say"


def spec(data: DataConfig) -> PairSpec:
    """Sizes from the settings alone."""
    return PairSpec(
        name="parallel-text", title="sentence pairs", source=SOURCE, vocab_size=data.vocab_size, seq_len=data.seq_len
    )


def load_official(data: DataConfig) -> OfficialData:
    """Raises `InputError`: there is no reader yet."""
    raise InputError(
        f"data.name: {data.name} is for `minform count` alone; training on sentence pairs is not built yet"
    )
