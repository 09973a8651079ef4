"""Sentence pairs of the user's own: a file of sentences, and a file of their translations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minform_cli.config.schema import PAIR_FILES, DataConfig
from minform_cli.data.spec import PairSpec

if TYPE_CHECKING:
    from minform_cli.data.pairs.pair_data import PairData

SUMMARY = "your own sentence pairs: data.source and data.target, UTF-8 files with one sentence a line"
SOURCE = "the user's own sentence pairs"
TAKES = PAIR_FILES


def spec(data: DataConfig) -> PairSpec:
    """Sizes from the settings alone."""
    return PairSpec(
        name="parallel-text", title="sentence pairs", source=SOURCE, vocab_size=data.vocab_size, seq_len=data.seq_len
    )


def load(data: DataConfig, tell: Callable[[str], None]) -> PairData:
    """The pairs as tokens; errors as `load_files` raises them."""
    from minform_cli.data.pairs.pair_data import load_files

    return load_files(data, spec(data), tell)
