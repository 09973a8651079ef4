"""Tokens and splits: each document tokenised once, splits that never depend on the seed, and every refusal."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import DATA_SETS
from minform_cli.data.text import corpora, lines, tokens, vocabulary
from minform_cli.data.text.corpora import TextData
from minform_cli.data.text.tokenizer import Vocabulary, from_json
from minform_cli.errors import InputError
from tests.data.text.prose import load, prose, silent, written


def spans(sequences: tokens.Sequences | None) -> np.ndarray:
    assert sequences is not None
    return sequences.take(np.arange(len(sequences)))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each text was tokenised."""
    counts: Counter[str] = Counter()
    encode = Vocabulary.encode

    def counted(self: Vocabulary, texts: list[str]) -> list[list[int]]:
        counts.update(texts)
        return encode(self, texts)

    monkeypatch.setattr(Vocabulary, "encode", counted)
    return counts


@pytest.mark.parametrize("batch", [1, 500, 2**20])
def test_a_row_is_all_documents_in_order_each_with_a_separator(tmp_path: Path, monkeypatch, batch: int) -> None:
    monkeypatch.setattr(tokens, "BATCH_CHARS", batch)
    text = prose(30).strip() + "\n\n\x07\n\n" + "balo " * 30_000 + "\x07" * 90_000 + "\n\nko"
    # One without tokens, and one in several pieces, of which the last has none.
    data = load(path=written(tmp_path / "a.txt", text))
    vocabulary = from_json(data.tokenizer, "")
    expected = [token for d in text.split("\n\n") for token in [*vocabulary.encode([d])[0], 3] if d != "\x07"]
    assert data.train.tokens.tolist() == expected
    assert not ((data.train.tokens[1:] == 3) & (data.train.tokens[:-1] == 3)).any()


def test_each_document_is_tokenised_once_and_not_again_at_the_next_start(
    tmp_path: Path, own_cache: Path, encoded
) -> None:
    path, val = written(tmp_path / "a.txt", prose(40)), written(tmp_path / "val.txt", prose(9, seed=1))
    first = load(path=path, val_path=val)
    everything = Counter({d.strip(): 1 for text in (prose(40), prose(9, seed=1)) for d in text.split("\n\n")})
    assert encoded == everything
    second = load(path=path, val_path=val)
    assert encoded == everything
    assert second.fingerprint == first.fingerprint
    assert np.array_equal(spans(first.train), spans(second.train))

    written(tmp_path / "a.txt", prose(40) + "\n\nnew")
    load(path=path, val_path=val)
    assert encoded["new"] == 1
    assert len(list((own_cache / "tokens").glob("*.bin"))) == 3, "the old text's entries are replaced"


def test_the_text_decides_and_not_its_time_or_name(tmp_path: Path, encoded) -> None:
    first = load(path=written(tmp_path / "a.txt", prose(40)))
    calls = sum(encoded.values())
    written(tmp_path / "a.txt", prose(40))
    assert load(path=str(tmp_path / "a.txt")).fingerprint == first.fingerprint
    assert sum(encoded.values()) == calls
    assert load(path=written(tmp_path / "b.txt", prose(40))).fingerprint == first.fingerprint


@pytest.mark.parametrize("given", [False, True])
def test_nothing_of_an_old_text_is_taken_for_the_new_one(tmp_path: Path, monkeypatch, given: bool) -> None:
    path = written(tmp_path / "a.txt", prose(40))
    first = load(path=path)
    settings = {"tokenizer": written(tmp_path / "t.json", first.tokenizer.decode())} if given else {}
    first = load(path=path, **settings)
    written(tmp_path / "a.txt", prose(40, seed=1))
    second = load(path=path, **settings)
    monkeypatch.setenv("MINFORM_CACHE", str(tmp_path / "another"))
    fresh = load(path=path, **settings)
    assert second.tokenizer == fresh.tokenizer
    assert np.array_equal(second.train.tokens, fresh.train.tokens)
    assert second.fingerprint == fresh.fingerprint != first.fingerprint


@pytest.mark.parametrize("which", ["tokens", "tokenizer"])
def test_a_damaged_file_of_the_cache_is_made_again(tmp_path: Path, own_cache: Path, encoded, which: str) -> None:
    path = written(tmp_path / "a.txt", prose(40))
    first = load(path=path)
    (kept,) = (own_cache / "tokens").glob(f"{which}-*.bin")
    kept.write_bytes(kept.read_bytes()[:-2] + b"xx")
    second = load(path=path)
    assert first.fingerprint == second.fingerprint
    assert set(encoded.values()) == ({2} if which == "tokens" else {1})


def test_tokens_take_two_bytes_where_they_fit_and_four_where_not(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", prose(40))
    small = load(path=path)
    content = json.loads(small.tokenizer)
    content["model"]["vocab"]["far"] = 70_000
    given = written(tmp_path / "t.json", json.dumps(content))
    large = load(path=path, tokenizer=given, vocab_size=70_001)
    assert (small.train.tokens.dtype, large.train.tokens.dtype) == (np.dtype("<u2"), np.dtype("<u4"))
    assert np.array_equal(spans(small.train), spans(large.train))
    assert spans(small.train).dtype == np.int64
    assert small.fingerprint != large.fingerprint


def identity(split: tokens.Sequences | None) -> set[int]:
    assert split is not None
    return set(split.chosen.tolist())


@pytest.mark.parametrize("documents", [2, 7, 60, 900, 2500])
def test_blocks_of_a_twentieth_are_held_out(tmp_path: Path, documents: int) -> None:
    data = load(path=written(tmp_path / "a.txt", prose(documents)))
    num = len(data.train.tokens) // 10
    train, val = identity(data.train), identity(data.val)
    assert train | val == set(range(num))
    assert not train & val
    assert data.spec.num_train == len(train)
    assert data.spec.num_val == len(val)
    assert data.test is None
    assert data.spec.num_test == 0
    assert abs(len(val) - num / 20) <= 8 or num < 20, "half a block"
    block = min(16, max(1, round(num / 20)))
    starts = sorted(val)[::block]
    assert sorted(val) == [start + i for start in starts for i in range(block)]
    assert all(start % block == 0 for start in starts)
    if documents == 2500:
        assert len(starts) > 20
        assert len(set(np.diff(starts))) > 5, "scattered over the text"


def test_what_is_left_at_the_end_is_dropped_and_spans_follow_each_other(tmp_path: Path) -> None:
    data = load(path=written(tmp_path / "a.txt", prose(61)), val_path=written(tmp_path / "v.txt", prose(9)))
    row, num = data.train.tokens, len(data.train.tokens) // 10
    assert len(row) % 10, "there is something left in this text"
    assert np.array_equal(spans(data.train), row[: num * 10].reshape(num, 10))
    assert np.array_equal(data.train.take(np.array([5, 0])), row.reshape(-1)[: num * 10].reshape(num, 10)[[5, 0]])


def test_splits_are_the_texts_given_for_them(tmp_path: Path) -> None:
    texts = {name: written(tmp_path / f"{name}.txt", prose(20 + i, i)) for i, name in enumerate(("a", "v", "t"))}
    both = load(path=texts["a"], val_path=texts["v"], test_path=texts["t"])
    assert both.test is not None
    sizes = (len(both.train), len(both.val), len(both.test))
    assert sizes == (both.spec.num_train, both.spec.num_val, both.spec.num_test)
    assert sizes[0] == len(both.train.tokens) // 10, "nothing is held out"
    on_test = load(path=texts["a"], val_path=texts["v"], test_path=texts["t"], validation="test")
    assert on_test.test is None
    assert np.array_equal(spans(on_test.val), spans(both.test))
    assert (on_test.spec.num_val, on_test.spec.num_test) == (len(both.test), 0)
    held = load(path=texts["a"], test_path=texts["t"])
    assert np.array_equal(spans(held.test), spans(both.test))
    assert len(held.train) + len(held.val) == len(both.train)
    assert len({both.fingerprint, on_test.fingerprint, held.fingerprint}) == 3


def test_a_limit_keeps_some_of_the_same_and_no_more_than_there_are(tmp_path: Path, refused) -> None:
    path = written(tmp_path / "a.txt", prose(60))
    whole, ten, thirty = load(path=path), load(path=path, limit=10), load(path=path, limit=30)
    assert identity(ten.val) == identity(thirty.val) == identity(whole.val)
    assert identity(ten.train) < identity(thirty.train) < identity(whole.train)
    assert (ten.spec.num_train, len(ten.train), len(thirty.train)) == (10, 10, 30)
    assert max(identity(ten.train)) - min(identity(ten.train)) > 10, "from all over the text"
    assert ten.fingerprint != thirty.fingerprint
    most = len(whole.train)
    assert len(load(path=path, limit=most).train) == most
    message = refused(InputError, load, path=path, limit=most + 1)
    assert message == f"data.limit: {most + 1} is more than the {most} training examples of text"


def test_the_fingerprint_changes_with_text_tokenizer_and_length(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", prose(40))
    settings = [{}, {"seq_len": 13}, {"tokenizer": "byte-bpe", "vocab_size": 300}, {"vocab_size": 100}]
    made = [load(path=path, **s) for s in settings] + [load(path=written(tmp_path / "b.txt", prose(40, seed=1)))]
    assert len({data.fingerprint for data in made}) == 5
    assert all(len(data.fingerprint) == 64 for data in made)


def test_too_little_text_is_told_with_the_numbers_and_what_is_accepted_works(tmp_path: Path, refused) -> None:
    path, long = written(tmp_path / "a.txt", prose(1)), written(tmp_path / "b.txt", prose(40))
    num = len(load(path=path, seq_len=4).train.tokens)
    message = refused(InputError, load, path=path, seq_len=50)
    assert message == (
        f"data.path: {path!r}: its {num} tokens make {num // 48} sequences of data.seq_len - 2 = 48 tokens, and 2 are "
        "needed, one to train and one to validate on; accepted: more text, or "
        f"--set data.seq_len={num // 2 + 2} or less"
    )
    data = load(path=path, seq_len=num // 2 + 2)
    assert (len(data.train), len(data.val)) == (1, 1)
    message = refused(InputError, load, path=long, val_path=path, seq_len=200)
    assert message.startswith(f"data.val_path: {path!r}: its ")
    assert "and 1 is needed; accepted: more text, or --set" in message
    message = refused(InputError, load, path=written(tmp_path / "c.txt", "ko"))
    assert message.endswith("accepted: more text")


def test_files_are_looked_at_before_the_tokenizer_is_trained(tmp_path: Path, monkeypatch, refused) -> None:
    monkeypatch.setattr(corpora, "vocabulary_for", None)
    path = written(tmp_path / "a.txt", prose(9))
    assert refused(InputError, load).startswith("data.path: is missing: the text to train on; accepted: ")
    assert refused(InputError, load, path=path, val_path="no").startswith("data.val_path: 'no': no such file")
    assert refused(InputError, load, path=path, test_path="no").startswith("data.test_path: 'no': no such file")
    message = refused(InputError, load, path=path, validation="test")
    assert message.startswith("data.test_path: is missing: the text that data.validation 'test' validates on; accepted")


def test_progress_is_told_on_the_way(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(vocabulary, "TELL_EVERY_S", 0.0)
    monkeypatch.setattr(tokens, "BATCH_CHARS", 10_000)
    monkeypatch.setattr(lines, "CHUNK_BYTES", 10_000)
    text = prose(8_000)
    told: list[str] = []
    config = DataConfig(name="text", path=written(tmp_path / "a.txt", text))
    DATA_SETS.get("text").load(config, told.append)
    whole = f" of {len(text) / 1e6:,.0f} MB"
    assert all(sentence.endswith(whole) for sentence in told)
    assert {sentence.rpartition(" of ")[0] for sentence in told} == {
        f"{done} {megabytes}" for done in ("read for the tokenizer", "tokenised") for megabytes in (0, 1)
    }
    told.clear()
    DATA_SETS.get("text").load(config, told.append)
    assert told == []


def test_notes_say_what_there_is_and_which_rows_are_of_no_use(tmp_path: Path) -> None:
    data = load(path=written(tmp_path / "a.txt", prose(40)), vocab_size=1000)
    size = from_json(data.tokenizer, "").size
    assert data.notes == (
        f"the training text: {len(prose(40)):,} bytes, {len(data.train.tokens):,} tokens",
        f"the tokenizer has {size} entries: {1000 - size} rows of the embedding are never used",
    )
    assert data.spec.vocab_size == 1000
    assert len(load(path=str(tmp_path / "a.txt"), vocab_size=size).notes) == 1


def test_spec_opens_no_file_and_takes_the_name_for_a_title() -> None:
    spec = DATA_SETS.get("text").spec
    titles = {"no/such.txt.gz": "such", "no/fol.der": "fol.der", None: "text", ".": "text", "a\n": "a?"}
    assert {path: spec(DataConfig(name="text", path=path)).title for path in titles} == titles


def topics(**settings: object) -> TextData:
    return load(name="pydoc-topics", **settings)


def test_pydoc_topics_are_there_without_a_file(refused) -> None:
    from pydoc_data.topics import topics as texts

    data = topics(seq_len=128, vocab_size=2000)
    assert (data.train.tokens == data.special.sep).sum() == len(texts), "a topic is a document"
    assert data.spec.num_train + data.spec.num_val == len(data.train.tokens) // 126 > 500
    first = from_json(data.tokenizer, "").encode([texts[min(texts)]])[0]
    assert data.train.tokens[: len(first) + 1].tolist() == [*first, 3]
    assert topics(seq_len=128, vocab_size=2000).fingerprint == data.fingerprint
    message = refused(InputError, topics, validation="test")
    assert message == "data.validation: 'test' needs a test split and pydoc-topics has none; accepted: holdout"


@pytest.mark.real_data
def test_tinyshakespeare_is_read_whole(real_data: Path) -> None:
    path = real_data / "text" / "tinyshakespeare.txt"
    text = path.read_text(encoding="utf-8")
    config = DataConfig(name="text", path=str(path), tokenizer="byte-bpe", vocab_size=512)
    data = DATA_SETS.get("text").load(config, silent)
    documents = [d for d in text.split("\n\n") if d.strip()]
    ends = np.flatnonzero(data.train.tokens == data.special.sep)
    assert len(ends) == len(documents)
    tokenizer = from_json(data.tokenizer, "").tokenizer
    for number in (0, len(documents) // 2, len(documents) - 1):
        row = data.train.tokens[ends[number - 1] + 1 if number else 0 : ends[number]]
        assert tokenizer.decode(row.tolist()) == documents[number].strip("\n")
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "86c4e6aa9db7"
