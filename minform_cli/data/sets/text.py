"""Text of the user's own: a UTF-8 file, or a folder of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import TextSpec

if TYPE_CHECKING:
    from minform_cli.data.text.corpora import TextData

SUMMARY = "your own text: a UTF-8 file, or a folder of *.txt and *.txt.gz; documents are separated by blank lines"
SOURCE = "the user's own text"
TAKES = ("path", "val_path", "test_path")


def spec(data: DataConfig) -> TextSpec:
    """Sizes from the settings alone; the title is the file's name, if there is one."""
    name = Path(data.path or "").name
    title = "".join(c if c.isprintable() else "?" for c in name.removesuffix(".gz").removesuffix(".txt"))
    return TextSpec(name="text", title=title or "text", source=SOURCE, vocab_size=data.vocab_size, seq_len=data.seq_len)


def load(data: DataConfig, tell: Callable[[str], None]) -> TextData:
    """The sequences of the texts; errors as `load_files` raises them."""
    from minform_cli.data.text.corpora import load_files

    return load_files(data, spec(data), tell)
