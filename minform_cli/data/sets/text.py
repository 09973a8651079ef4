"""Text files. So far they can be counted by, not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import TextSpec
from minform_cli.errors import InputError

if TYPE_CHECKING:
    from minform_cli.data.images import OfficialData

SUMMARY = "text; to count models by, not yet to train on"
SOURCE = "sizes as data.vocab_size and data.seq_len say"


def spec(data: DataConfig) -> TextSpec:
    """Sizes from the settings alone."""
    return TextSpec(name="text", title="text", source=SOURCE, vocab_size=data.vocab_size, seq_len=data.seq_len)


def load_official(data: DataConfig) -> OfficialData:
    """Raises `InputError`: there is no reader yet."""
    raise InputError(f"data.name: {data.name} is for `minform count` alone; training on text is not built yet")
