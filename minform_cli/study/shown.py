"""Validation examples for people: the picture or the words of those that a report names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minform_cli.data.images.pixels import ImageData
from minform_cli.data.load import Data
from minform_cli.data.source import Source
from minform_cli.report.records import ShownExample
from minform_cli.runs.measured import data_for
from minform_cli.runs.stored import read_run


def shown_examples(run: Path, source: Source | None, indices: Sequence[int]) -> dict[str, ShownExample]:
    """The validation examples at these places, by place; fewer where the data have no pictures or words.

    Args:
        run: folder of a run on the data.
        source: the data, where somebody has opened them.
        indices: places in the validation split.

    Raises:
        InputError: the run or the data cannot be read.
    """
    data = data_for(read_run(run), source=source).data
    return {str(index): found for index in indices if (found := _shown(data, index)) is not None}


def _shown(data: Data, index: int) -> ShownExample | None:
    names = data.spec.class_names
    if isinstance(data, ImageData):
        from minform_cli.study.measure import png_of

        return ShownExample(label=names[int(data.val.labels[index])], png=png_of(data.val, index), text=None)
    from minform_cli.data.glue.sentences import SentenceData  # the tokenizers, which images can do without
    from minform_cli.data.text.tokenizer import from_json

    if not isinstance(data, SentenceData) or not names:
        return None
    tokens = data.val.take(np.array([index])).tokens.tolist()
    text = from_json(data.tokenizer, "tokenizer").tokenizer.decode(tokens, skip_special_tokens=True)
    return ShownExample(label=names[int(data.val.labels[index])], png=None, text=text)
