"""From files of sentence pairs to the pairs that a run trains and measures on, as tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import tokenizers
from numpy.typing import NDArray

from minform_cli.config.schema import DataConfig
from minform_cli.data.cache import digest_of
from minform_cli.data.pairs.files import Pairs, SentenceFile, Sentences, open_pairs
from minform_cli.data.pairs.holdout import held_out
from minform_cli.data.pairs.scripts import Script, script_of
from minform_cli.data.spec import PairSpec, split_sizes
from minform_cli.data.split import limited
from minform_cli.data.text.mapped import Put, mapped
from minform_cli.data.text.ragged import Ragged, ragged
from minform_cli.data.text.repeats import row_hashes
from minform_cli.data.text.tokenizer import Special, Vocabulary
from minform_cli.data.text.vocabulary import FORMAT, Tell, now_and_then, slot_of, unused_notes, vocabulary_for
from minform_cli.errors import InputError, counted

ADDED = 1
"""Special tokens of a sentence: the end of a source, the start of what a decoder reads, the end of what it writes."""


@dataclass(frozen=True)
class PairSplit:
    """One split.

    Attributes:
        source: sentences to translate.
        target: their translations.
        references: the translations as they stand in the file; () for training.
    """

    source: Ragged
    target: Ragged
    references: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.source)

    def take(self, places: NDArray[np.intp]) -> PairSplit:
        """The pairs at `places`, in that order."""
        references = tuple(self.references[place] for place in places.tolist()) if self.references else ()
        return PairSplit(self.source.rows(places), self.target.rows(places), references)


@dataclass(frozen=True)
class PairData:
    """What a run trains and measures on.

    Attributes:
        spec: the sizes are those of the splits below.
        train: after hold-out and `data.limit`.
        val: pairs of their own or held out of the training pairs; the test pairs under ``data.validation: test``.
        test: None where there are no test pairs, or where they are `val`.
        special: entries of the tokenizer with a meaning of their own.
        fingerprint: SHA-256 in hex over the splits above and the tokenizer.
        tokenizer: content of the tokenizer file.
        notes: what the user should know of them.
        script: of the training translations, where `data.bleu_tokenizer` is to be chosen by it.
    """

    spec: PairSpec
    train: PairSplit
    val: PairSplit
    test: PairSplit | None
    special: Special
    fingerprint: str
    tokenizer: bytes
    notes: tuple[str, ...]
    script: Script = "spaced"


def load_files(data: DataConfig, spec: PairSpec, tell: Tell) -> PairData:
    """The pairs of the files that `data` names.

    Raises:
        InputError: a file is missing or no text, two files have not as many lines, a sentence is longer than the
            model, or the tokenizer or a setting does not fit.
        MachineError: there is no place for the tokens.
    """
    train = _named("source", data.source, "target", data.target)
    if train is None:
        raise InputError(
            "data.source: is missing: the sentences to train on, and data.target, their translations; "
            "accepted: two UTF-8 files with one sentence a line"
        )
    test = _named("test_source", data.test_source, "test_target", data.test_target)
    val = _named("val_source", data.val_source, "val_target", data.val_target)
    return load_pairs(data, spec, train, val, test, tell)


def _named(source_key: str, source: str | None, target_key: str, target: str | None) -> Pairs | None:
    """The pairs of two settings; None where neither is set."""
    if source is None and target is None:
        return None
    for key, path, other in ((source_key, source, target_key), (target_key, target, source_key)):
        if not path:
            raise InputError(f"data.{key}: is missing beside data.{other}; accepted: both of them, or neither")
    assert source is not None
    assert target is not None
    return open_pairs(f"data.{source_key}", source, f"data.{target_key}", target)


def load_pairs(
    data: DataConfig, spec: PairSpec, train: Pairs, val: Pairs | None, test: Pairs | None, tell: Tell
) -> PairData:
    """The splits of `train`, and of validation and test pairs where there are any.

    Raises:
        InputError: a sentence is longer than the model, there is nothing to hold out, or the tokenizer or a setting
            does not fit.
        MachineError: there is no place for the tokens.
    """
    if data.validation == "test":
        val = None
    opened = {name: pairs for name, pairs in (("train", train), ("val", val), ("test", test)) if pairs is not None}
    holdout = held_out(train.source) if val is None and data.validation == "holdout" else np.zeros(len(train), bool)
    sizes = split_sizes(
        data, len(train), int(holdout.sum()), len(test) if test else 0, 0, published_val=len(val) if val else 0
    )

    def sentences() -> Sentences:
        tell(f"training the tokenizer on {2 * len(train):,} sentences")
        return Sentences(train.files)

    vocabulary = vocabulary_for(data, train.files, sentences, needs=("pad",))
    whole = {name: _tokens(data, train, pairs, vocabulary, tell) for name, pairs in opened.items()}
    _check_lengths(data, opened, whole)
    trained_on = np.zeros(len(train), bool)
    trained_on[limited(np.flatnonzero(~holdout), sizes["num_train"])] = True
    splits = {"train": _split(whole["train"], trained_on, None)}
    if holdout.any():
        splits["val"] = _split(whole["train"], holdout, train.target)
    for name in ("val", "test"):
        if name in opened:
            splits[name] = _split(whole[name], np.ones(len(opened[name]), bool), opened[name].target)
    if data.validation == "test":
        splits["val"] = splits.pop("test")
    return PairData(
        spec=replace(spec, **sizes),
        train=splits["train"],
        val=splits["val"],
        test=splits.get("test"),
        special=vocabulary.special,
        fingerprint=_fingerprint(splits, vocabulary),
        tokenizer=vocabulary.json,
        notes=(_size_note(splits["train"]), *unused_notes(data, vocabulary), *_repeats(splits)),
        script=script_of(train.target) if data.bleu_tokenizer == "auto" else "spaced",
    )


Sides = tuple[Ragged, Ragged]


def _tokens(data: DataConfig, train: Pairs, pairs: Pairs, vocabulary: Vocabulary, tell: Tell) -> Sides:
    """Both sides of `pairs` as tokens."""
    trained_on = [file.place for file in train.files]
    slots = [slot_of(data, *trained_on, file.place) for file in pairs.files]
    source, target = (_encoded(file, vocabulary, slot, tell) for file, slot in zip(pairs.files, slots, strict=True))
    return source, target


def _encoded(file: SentenceFile, vocabulary: Vocabulary, slot: str, tell: Tell) -> Ragged:
    """The sentences of `file` as tokens.

    Args:
        file: of sentences.
        vocabulary: what they are tokenised with.
        slot: what stays the same when the file or a trained tokenizer changes; the cache keeps its tokens under it.
        tell: called with a sentence every few seconds, while a long file is tokenised.

    Raises:
        InputError: as `SentenceFile.blocks` or `Vocabulary.encode` raises it.
        MachineError: as `mapped` raises it.
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
    content = mapped(f"pairs-{slot}", key, expected_bytes, write).content
    # Into memory: batches take sentences from all over the file.
    numbers = np.frombuffer(content.tobytes(), "<i4").astype(np.int32, copy=False)
    return ragged(numbers[: -file.num], numbers[-file.num :].astype(np.int64))


def _check_lengths(data: DataConfig, opened: Mapping[str, Pairs], whole: Mapping[str, Sides]) -> None:
    """Raises `InputError` for the first sentence that is longer than the model."""
    sides = [
        (file, side.lengths + ADDED)
        for name, pairs in opened.items()
        for file, side in zip(pairs.files, whole[name], strict=True)
    ]
    longest = max(int(lengths.max()) for _, lengths in sides)
    for file, lengths in sides:
        if lengths.max() > data.seq_len:
            row = int(np.argmax(lengths > data.seq_len))
            raise InputError(
                f"{file.where}: line {row + 1:,} makes {lengths[row]:,} tokens, special ones included, more than "
                f"data.seq_len {data.seq_len:,}; accepted: --set data.seq_len={longest} or more, as the longest "
                "sentence of all files needs, or shorter sentences"
            )


def _split(sides: Sides, wanted: NDArray[np.bool_], target: SentenceFile | None) -> PairSplit:
    """The pairs that are `wanted` (n,), with what their translations are in the file `target`."""
    references: list[str] = []
    if target is not None:
        first = 0
        for block in target.blocks():
            references += [block[row] for row in np.flatnonzero(wanted[first : first + len(block)])]
            first += len(block)
    source, translation = (side.where(wanted) for side in sides)
    return PairSplit(source, translation, tuple(references))


def _fingerprint(splits: Mapping[str, PairSplit], vocabulary: Vocabulary) -> str:
    """Equal on every machine."""
    digest = hashlib.sha256(hashlib.sha256(vocabulary.json).digest())
    for name, split in sorted(splits.items()):
        digest.update(f"{name} {len(split)} ".encode())
        for side in (split.source, split.target):
            digest.update(np.ascontiguousarray(side.offsets, "<i8").data)
            digest.update(np.ascontiguousarray(side.tokens, "<i4").data)
        for reference in split.references:
            digest.update(reference.encode() + b"\n")
    return digest.hexdigest()


def _size_note(train: PairSplit) -> str:
    source, target = len(train.source.tokens), len(train.target.tokens)
    return (
        f"the training pairs: {len(train):,}, of {counted(source, 'token')} to translate and {target:,} of translations"
    )


def _repeats(splits: Mapping[str, PairSplit]) -> list[str]:
    """Sentences that are translated for a measurement and trained on, too."""
    known, *others = (row_hashes(split.source.tokens, split.source.offsets) for split in splits.values())
    names = {"val": "validation pairs", "test": "test pairs"}
    counts = [int(np.isin(hashes, known).sum()) for hashes in others]
    return [
        f"with a sentence to translate that is trained on, too: {count:,} of the {len(splits[name]):,} {names[name]}"
        for name, count in zip(list(splits)[1:], counts, strict=True)
        if count
    ]
