"""Sentence pairs in two languages. So far they can be counted, not read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import PairSpec
from minform_cli.errors import InputError

if TYPE_CHECKING:
    from minform_cli.data.load import Data

SUMMARY = "sentence pairs in two languages; to count models by, not yet to train on"
SOURCE = "sizes as data.vocab_size and data.seq_len say"


def spec(data: DataConfig) -> PairSpec:
    """Sizes from the settings alone."""
    return PairSpec(
        name="parallel-text", title="sentence pairs", source=SOURCE, vocab_size=data.vocab_size, seq_len=data.seq_len
    )


def load(data: DataConfig, tell: Callable[[str], None]) -> Data:  # noqa: ARG001  (as every data set of text)
    """Raises `InputError`: there is no reader yet."""
    raise InputError(
        f"data.name: {data.name} is for `minform count` alone; training on sentence pairs is not built yet"
    )
