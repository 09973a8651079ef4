"""The texts to train, validate and test on, cut into sequences of one length.

A split's tokens are cut one after another, across the ends of documents; what is left at the end and is shorter than a
sequence is dropped, so nothing is ever filled up. A text too short for one sequence is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from minform_cli.config.schema import DataConfig
from minform_cli.data.cache import digest_of
from minform_cli.data.spec import TextSpec, split_sizes
from minform_cli.data.split import held_out_blocks, limited
from minform_cli.data.text.corpus import Corpus, Documents
from minform_cli.data.text.places import Texts, open_texts
from minform_cli.data.text.repeats import STRETCH, repeated_stretches
from minform_cli.data.text.tokenizer import Special, Vocabulary
from minform_cli.data.text.tokens import Row, Sequences, progress, row_of
from minform_cli.data.text.vocabulary import Tell, slot_of, unused_notes, vocabulary_for
from minform_cli.errors import InputError, counted

ADDED = 2
"""Tokens of the longest example that are not of the text: one before and one behind."""


@dataclass(frozen=True)
class TextData:
    """What a run trains and measures on.

    Attributes:
        spec: the sizes are those of the splits below.
        train: after hold-out and `data.limit`.
        val: a text of its own or held out of the training text; or the test text, under ``data.validation: test``.
        test: None where there is no test text, or where it is `val`.
        special: entries of the tokenizer with a meaning of their own.
        ordinary: (n,) all its other entries, ascending.
        tokenizer: content of the tokenizer file.
        fingerprint: SHA-256 in hex over the splits above and the tokenizer.
        notes: what the user should know of them.
    """

    spec: TextSpec
    train: Sequences
    val: Sequences
    test: Sequences | None
    special: Special
    ordinary: NDArray[np.int64]
    tokenizer: bytes
    fingerprint: str
    notes: tuple[str, ...]


def load_files(data: DataConfig, spec: TextSpec, tell: Tell) -> TextData:
    """The texts at `data.path`, `data.val_path` and `data.test_path`.

    Raises:
        InputError: as `open_texts`; there is too little text, or the tokenizer or a setting does not fit.
        MachineError: there is no place for the tokens.
    """
    return load_corpora(data, spec, open_texts(data), tell)


def load_corpora(data: DataConfig, spec: TextSpec, texts: Texts, tell: Tell) -> TextData:
    """The splits of `texts`.

    Raises:
        InputError: there is too little text, or the tokenizer or a setting does not fit.
        MachineError: there is no place for the tokens.
    """
    train, val, test, notes = texts
    vocabulary = vocabulary_for(
        data, [train], lambda: Documents(train, progress(tell, "read for the tokenizer", train))
    )
    rows = {
        name: row_of(corpus, vocabulary, slot_of(data, train.place, corpus.place), tell)
        for name, corpus in (("train", train), ("val", val), ("test", test))
        if corpus is not None
    }
    length = data.seq_len - ADDED
    nums = {name: len(row.tokens) // length for name, row in rows.items()}
    holds_out = val is None and data.validation == "holdout"
    _check_enough(train, rows["train"], length, 2 if holds_out else 1)
    for name, corpus in (("val", val), ("test", test)):
        if corpus is not None:
            _check_enough(corpus, rows[name], length, 1)
    held_out = held_out_blocks(nums["train"]) if holds_out else np.zeros(0, dtype=np.int64)
    sizes = split_sizes(data, nums["train"], len(held_out), nums.get("test", 0), 0, nums.get("val", 0))
    chosen = {name: np.arange(num) for name, num in nums.items()}
    chosen["train"] = limited(np.setdiff1d(chosen["train"], held_out), sizes["num_train"])
    if data.validation == "test":
        rows["val"], chosen["val"] = rows.pop("test"), chosen.pop("test")
    elif holds_out:
        rows["val"], chosen["val"] = rows["train"], held_out
    splits = {name: Sequences(row.tokens, length, chosen[name]) for name, row in rows.items()}
    num_tokens = counted(len(rows["train"].tokens), "token")
    size = f"the training text: {counted(train.size_bytes, 'byte')}, {num_tokens}"
    return TextData(
        spec=replace(spec, **sizes),
        train=splits["train"],
        val=splits["val"],
        test=splits.get("test"),
        special=vocabulary.special,
        ordinary=vocabulary.ordinary,
        tokenizer=vocabulary.json,
        fingerprint=_fingerprint(rows, splits, vocabulary),
        notes=(*notes, size, *unused_notes(data, vocabulary), *train.notes, *_repeats(splits)),
    )


def _check_enough(corpus: Corpus, row: Row, length: int, needed: int) -> None:
    num, found = len(row.tokens), len(row.tokens) // length
    if found >= needed:
        return
    what = "2 are needed, one to train and one to validate on" if needed == 2 else "1 is needed"
    longest = num // needed + ADDED
    smaller = f", or --set data.seq_len={longest} or less" if longest >= 2 * ADDED else ""
    raise InputError(
        f"{corpus.where}: its {counted(num, 'token')} make {counted(found, 'sequence')} of "
        f"data.seq_len - {ADDED} = {length:,} tokens, and {what}; accepted: more text{smaller}"
    )


def _fingerprint(rows: Mapping[str, Row], splits: Mapping[str, Sequences], vocabulary: Vocabulary) -> str:
    parts: list[object] = [hashlib.sha256(vocabulary.json).hexdigest()]
    for name in sorted(splits):
        split = splits[name]
        chosen = hashlib.sha256(split.chosen.astype("<i8").tobytes()).hexdigest()
        parts += [name, rows[name].sha256, split.tokens.dtype.itemsize, split.length, chosen]
    return digest_of(*parts)


def _repeats(splits: Mapping[str, Sequences]) -> list[str]:
    """What is measured on and trained on, too."""
    counts = {name: repeated_stretches(splits["train"], split) for name, split in splits.items() if name != "train"}
    verbs = {"val": "validated", "test": "tested"}
    return [
        f"{100 * num / of:.2f} % of what is {verbs[name]} on stands word for word in the training text: {num:,} of "
        f"{counted(of, 'stretch', 'stretches')} of {min(STRETCH, splits[name].length)} tokens"
        for name, (num, of) in counts.items()
        if num
    ]
