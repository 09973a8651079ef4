"""Sentence pairs as tokens: the same from every source, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from minform_cli.data.load import load_data
from minform_cli.data.pairs.pair_data import PairData
from minform_cli.data.spec import PairSpec
from minform_cli.data.text.tokenizer import from_json
from minform_cli.errors import InputError
from tests.data.pairs.made import all_pairs, content, equal, load, pairs, sentences, settings, split, translated
from tests.data.text.prose import written
from tests.data.text.test_tokenizer import of_gpt2, of_t5


def test_tokens_are_those_of_the_sentences_with_nothing_added(tmp_path: Path) -> None:
    data = load(tmp_path, **split(tmp_path, "val", 20, 5), **split(tmp_path, "test", 10, 7))
    assert pairs(data, data.train) == all_pairs(200)
    assert pairs(data, data.val) == all_pairs(20, 5)
    assert data.test is not None
    assert pairs(data, data.test) == all_pairs(10, 7)
    assert data.train.references == ()
    assert list(data.val.references) == [target for _, target in all_pairs(20, 5)]
    assert list(data.test.references) == [target for _, target in all_pairs(10, 7)]
    assert isinstance(data.spec, PairSpec)
    assert (data.spec.num_train, data.spec.num_val, data.spec.num_test, data.spec.own_val) == (200, 20, 10, True)
    for part in (data.train, data.val, data.test):
        for side in (part.source, part.target):
            assert (side.tokens.dtype, side.offsets.dtype) == (np.int32, np.int64)
            assert (side.offsets[0], side.offsets[-1], len(side)) == (0, len(side.tokens), len(part))
            assert np.array_equal(side.lengths, np.diff(side.offsets))
            assert side.tokens.min() > max(vars(data.special).values()), "no special entry"


def test_the_tokenizer_is_of_both_languages(tmp_path: Path) -> None:
    # The one is in small letters, the other in capitals, and no word in mixed ones.
    long = [entry for entry in from_json(load(tmp_path).tokenizer, "").tokenizer.get_vocab() if len(entry) > 3]
    words = [entry.lstrip("\u0120") for entry in long if entry[0] != "["]
    assert sum(map(str.islower, words)) > 20
    assert sum(map(str.isupper, words)) > 20
    assert all(word.islower() or word.isupper() for word in words)


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_what_comes_from_the_cache_is_what_was_made(tmp_path: Path, kind: str, own_cache: Path) -> None:
    told: list[str] = []
    config = settings(tmp_path, tokenizer=kind)
    first = load_data(config, told.append)
    assert told == ["training the tokenizer on 400 sentences"]
    second = load_data(config, told.append)
    assert len(told) == 1
    assert isinstance(first, PairData)
    assert isinstance(second, PairData)
    assert equal(first, second)
    kept = sorted(own_cache.glob("tokens/*.bin"))
    assert len(kept) == 3
    for file in kept:
        whole = file.read_bytes()
        file.write_bytes(whole[:-3] + b"\0" + whole[-2:])
    third = load_data(config, told.append)
    assert isinstance(third, PairData)
    assert equal(first, third)
    assert len(told) == 2


def test_another_text_makes_other_tokens_and_another_fingerprint(tmp_path: Path) -> None:
    given = split(tmp_path, "val", 20, 5)
    first = load(tmp_path, **given)
    assert equal(first, load(tmp_path, **given))
    assert load(tmp_path, 199, **given).fingerprint != first.fingerprint
    tokenizer = written(tmp_path / "tokenizer.json", first.tokenizer)
    assert load(tmp_path, tokenizer=tokenizer, **given).fingerprint == first.fingerprint
    prints = {first.fingerprint}
    for name in ("one", "two"):
        lines = (tmp_path / f"val.{name}").read_text().splitlines()
        written(tmp_path / f"val.{name}", content([f"{lines[0]} ba", *lines[1:]]))
        prints.add(load(tmp_path, tokenizer=tokenizer, **given).fingerprint)
        written(tmp_path / f"val.{name}", content(lines))
    for side in ("source", "target"):
        for sign in "78":  # a token each, and training keeps no references
            path = written(tmp_path / "changed", content([*sentences(199), sign]))
            prints.add(load(tmp_path, tokenizer=tokenizer, **given, **{side: path}).fingerprint)
    assert len(prints) == 7
    assert load(tmp_path, tokenizer=tokenizer, **given).fingerprint == first.fingerprint


def test_references_and_tokenizer_are_in_the_fingerprint(tmp_path: Path) -> None:
    given = split(tmp_path, "val", 20, 5)
    first = load(tmp_path, tokenizer="wordpiece", **given)
    written(tmp_path / "val.two", (tmp_path / "val.two").read_text().lower())  # which WordPiece takes for the same
    second = load(tmp_path, tokenizer="wordpiece", **given)
    assert np.array_equal(first.val.target.tokens, second.val.target.tokens)
    assert first.fingerprint != second.fingerprint
    other = first.tokenizer.replace(b'"decoder":{"type":"WordPiece"', b'"decoder":{"type":"WordPiece" ')
    third = load(tmp_path, tokenizer=written(tmp_path / "tokenizer.json", other), **given)
    assert third.tokenizer != second.tokenizer
    assert third.fingerprint != second.fingerprint


def test_the_cache_keeps_no_tokens_of_another_tokenizer_and_no_tokenizer_of_another_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = split(tmp_path, "val", 20, 5)
    few = load(tmp_path, 30, **given)
    many = load(tmp_path, 200, **given)
    assert pairs(few, few.val) == pairs(many, many.val) == all_pairs(20, 5)
    tokenizer = written(tmp_path / "tokenizer.json", few.tokenizer)
    from_file = load(tmp_path, tokenizer=tokenizer, **given)
    assert pairs(from_file, from_file.val) == all_pairs(20, 5)
    written(tmp_path / "tokenizer.json", many.tokenizer)
    assert equal(many, load(tmp_path, tokenizer=tokenizer, **given))
    monkeypatch.setenv("MINFORM_CACHE", str(tmp_path / "fresh"))
    assert equal(many, load(tmp_path, 200, **given))
    assert few.tokenizer != many.tokenizer


def test_packed_files_are_the_same_data(tmp_path: Path) -> None:
    plain = settings(tmp_path)
    ways = {
        key: written(Path(f"{path}.gz"), gzip.compress(Path(path).read_bytes()))
        for key, path in (("source", str(plain.source)), ("target", str(plain.target)))
    }
    assert load_data(plain).fingerprint == load_data(plain.model_copy(update=ways)).fingerprint


@pytest.mark.parametrize("prefix", ["", "val_", "test_"])
@pytest.mark.parametrize(("given", "missing"), [("source", "target"), ("target", "source")])
def test_one_of_two_files_alone_is_refused(tmp_path: Path, prefix: str, given: str, missing: str, refused) -> None:
    there = split(tmp_path, prefix.removesuffix("_") or "train", 20, 5)
    fields = {f"{prefix}{missing}": None, f"{prefix}{given}": next(iter(there.values()))}
    message = refused(InputError, load, tmp_path, **fields)
    assert (
        message == f"data.{prefix}{missing}: is missing beside data.{prefix}{given}; accepted: both of them, or neither"
    )
    empty = refused(InputError, load, tmp_path, **{**fields, f"{prefix}{missing}": ""})
    assert empty == message


def test_training_files_are_needed(tmp_path: Path, refused) -> None:
    message = refused(InputError, load, tmp_path, source=None, target=None, **split(tmp_path, "val", 20, 5))
    assert message.startswith("data.source: is missing: the sentences to train on, and data.target")


@pytest.mark.parametrize("name", ["train", "val", "test"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_sentence_longer_than_the_model_is_refused_with_its_line(
    tmp_path: Path, name: str, side: str, refused
) -> None:
    given = {**split(tmp_path, "val", 20, 5), **split(tmp_path, "test", 10, 7)}
    config = settings(tmp_path, **given)
    key = side if name == "train" else f"{name}_{side}"
    path = Path(str(getattr(config, key)))
    lines = path.read_text().splitlines()
    tokenizer = written(tmp_path / "tokenizer.json", load(tmp_path, **given).tokenizer)
    config = config.model_copy(update={"tokenizer": tokenizer})
    # A digit is an entry of its own, as none is in the text.
    written(path, content([*lines[:4], "7" * 70, *lines[5:8], "7" * 80, *lines[9:]]))
    message = refused(InputError, load_data, config)
    assert message == (
        f"data.{key}: '{path}': line 5 makes 71 tokens, special ones included, more than data.seq_len 60; "
        "accepted: --set data.seq_len=81 or more, as the longest sentence of all files needs, or shorter sentences"
    )
    assert refused(InputError, load_data, config.model_copy(update={"seq_len": 80})).count("line 9 makes 81 tokens")
    load_data(config.model_copy(update={"seq_len": 81}))


def test_the_first_file_with_a_long_sentence_is_named_and_the_longest_of_all_files_told(
    tmp_path: Path, refused
) -> None:
    given = split(tmp_path, "test", 10, 7)
    tokenizer = written(tmp_path / "tokenizer.json", load(tmp_path, **given).tokenizer)
    written(tmp_path / "test.two", content(["7" * 99] * 10))
    written(tmp_path / "train.two.long", content([*translated(sentences(199)), "7" * 65]))
    message = refused(InputError, load, tmp_path, tokenizer=tokenizer, target=f"{tmp_path}/train.two.long", **given)
    assert "data.target: " in message
    assert "line 200 makes 66 tokens" in message
    assert "data.seq_len=100 or more" in message


def test_a_tokenizer_file_must_fit(tmp_path: Path, refused) -> None:
    tokenizer = written(tmp_path / "tokenizer.json", load(tmp_path).tokenizer)
    assert "more than data.vocab_size 300" in refused(InputError, load, tmp_path, tokenizer=tokenizer, vocab_size=300)


def test_a_tokenizer_file_needs_what_fills_up_and_an_end_and_no_more(tmp_path: Path, refused) -> None:
    special = load(tmp_path, tokenizer=written(tmp_path / "t5.json", of_t5().to_str()), seq_len=80).special
    assert (special.cls, special.mask) == (special.sep, None)
    gpt2 = written(tmp_path / "gpt2.json", of_gpt2().to_str())
    message = refused(InputError, load, tmp_path, tokenizer=gpt2)
    assert message.startswith(f"data.tokenizer: {gpt2!r}: has no entry to fill up with ([PAD], <pad>, <|pad|> or")


def test_notes_say_how_many_pairs_and_tokens_and_which_rows_are_never_used(tmp_path: Path) -> None:
    data = load(tmp_path, vocab_size=5000, limit=100)
    size = from_json(data.tokenizer, "").size
    source, target = (len(side.tokens) for side in (data.train.source, data.train.target))
    assert data.notes == (
        f"the training pairs: 100, of {source:,} tokens to translate and {target:,} of translations",
        f"the tokenizer has {size:,} entries: {5000 - size:,} rows of the embedding are never used",
    )
    assert len(load(tmp_path, vocab_size=280).notes) == 1


def test_sentences_that_are_measured_and_trained_on_are_told(tmp_path: Path) -> None:
    given = {**split(tmp_path, "val", 20, 5), **split(tmp_path, "test", 10, 7)}
    trained = sentences(200)
    fresh = [sentence for sentence in sentences(90, 5) if sentence not in trained]
    for known in (0, 3):
        written(tmp_path / "val.one", content([*trained[40 : 40 + known], *fresh[known:20]]))
        written(tmp_path / "test.one", content(fresh[30:40]))
        told = f"with a sentence to translate that is trained on, too: {known} of the 20 validation pairs"
        assert load(tmp_path, vocab_size=280, **given).notes[1:] == ((told,) if known else ())
