"""Which training pairs are validated on: the same for every run's seed and tokenizer."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from minform_cli.data.pairs.files import SentenceFile
from minform_cli.data.split import held_out_groups
from minform_cli.errors import InputError

HASH_BYTES = 8
"""Of a sentence: if two others ever shared theirs, they would only be held out together."""


def held_out(source: SentenceFile) -> NDArray[np.bool_]:
    """(n,) which pairs are: pairs with one sentence to translate all are or none is, so none is known from training.

    Raises:
        InputError: there are not two different sentences, or the file has changed.
    """
    chosen = held_out_groups(np.concatenate([_codes(block) for block in source.blocks()]))
    if chosen is None:
        raise InputError(
            f"{source.where}: has not two different sentences, and 2 are needed, one to train and one to validate on; "
            "accepted: more pairs, or data.val_source and data.val_target"
        )
    return chosen


def _codes(sentences: list[str]) -> NDArray[np.uint64]:
    digests = [hashlib.blake2b(each.strip().encode(), digest_size=HASH_BYTES).digest() for each in sentences]
    return np.frombuffer(b"".join(digests), "<u8")
