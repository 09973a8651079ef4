"""Which pairs are held out, and which a limit keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minform_cli.data import split as split_module
from minform_cli.data.load import load_data
from minform_cli.data.pairs.files import SentenceFile, open_pairs
from minform_cli.data.pairs.holdout import held_out
from minform_cli.data.split import MOST_HELD_OUT
from minform_cli.data.text import lines as reader
from minform_cli.errors import InputError
from tests.data.pairs.made import all_pairs, content, load, pairs, sentences, settings, split, texts
from tests.data.text.prose import written


def file_of(path: str) -> SentenceFile:
    return open_pairs("data.source", path, "data.target", path).source


@pytest.mark.parametrize("size", [100, reader.CHUNK_BYTES])
def test_a_twentieth_is_held_out_and_nothing_is_lost(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "CHUNK_BYTES", size)
    data = load(tmp_path)
    assert (len(data.train), len(data.val), data.test) == (190, 10, None)
    train, val = pairs(data, data.train), pairs(data, data.val)
    assert sorted(train + val) == sorted(all_pairs(200))
    assert [pair for pair in all_pairs(200) if pair in val] == val, "in the order of the file"
    assert list(data.val.references) == [target for _, target in val]
    assert (data.spec.num_train, data.spec.num_val, data.spec.num_test, data.spec.own_val) == (190, 10, 0, False)


@pytest.mark.parametrize(("num", "expected"), [(2, 1), (9, 1), (30, 2), (39_999, 2000), (40_001, 2000), (60_000, 2000)])
def test_how_many_are_held_out(tmp_path: Path, num: int, expected: int) -> None:
    path = written(tmp_path / "a", content([str(number) for number in range(num)]))
    file = file_of(path)
    chosen = held_out(file)
    assert (len(chosen), chosen.sum()) == (num, expected)
    assert expected <= MOST_HELD_OUT


def test_one_sentence_to_translate_is_never_in_both_parts(tmp_path: Path) -> None:
    source = sentences(60)
    lines = [source[number**2 % 60] for number in range(400)]
    lines[7] = f"  {lines[7]} "  # blanks around it make no other sentence
    target = [f"{number}" for number in range(400)]
    data = load(
        tmp_path,
        source=written(tmp_path / "a", content(lines)),
        target=written(tmp_path / "b", content(target)),
    )
    train, val = ({text.strip() for text in texts(data, part.source)} for part in (data.train, data.val))
    assert not train & val
    assert len(data.train) + len(data.val) == 400
    assert 1 <= len(data.val) <= 20


def test_where_every_sentence_comes_often_the_rarest_is_held_out(tmp_path: Path) -> None:
    path = written(tmp_path / "a", "a\n" * 7 + "b\n" * 5 + "a\n" * 4)
    assert np.flatnonzero(held_out(file_of(path))).tolist() == [7, 8, 9, 10, 11]


def test_a_single_sentence_leaves_nothing_to_hold_out(tmp_path: Path, refused) -> None:
    path = written(tmp_path / "a", "a\n a\na \n")
    message = refused(InputError, load_data, settings(tmp_path, source=path, target=path))
    assert f"data.source: '{path}': has not two different sentences" in message
    assert "accepted: more pairs, or data.val_source and data.val_target" in message


def test_the_choice_depends_on_which_sentences_are_equal_and_on_nothing_else(tmp_path: Path, monkeypatch) -> None:
    first = written(tmp_path / "a", content([f"one {number // 2}" for number in range(300)]))
    second = written(tmp_path / "b", content([f"two {number // 2}" for number in range(300)]))
    chosen = held_out(file_of(first))
    assert chosen.sum() in (14, 15)
    assert np.array_equal(chosen, held_out(file_of(second)))
    monkeypatch.setattr(split_module, "HOLDOUT_SEED", 1)
    assert not np.array_equal(chosen, held_out(file_of(first)))


def test_held_out_pairs_are_the_same_for_another_tokenizer_and_limit(tmp_path: Path) -> None:
    references = load(tmp_path).val.references
    assert load(tmp_path, tokenizer="wordpiece").val.references == references
    assert load(tmp_path, limit=17).val.references == references
    assert load(tmp_path, vocab_size=300).val.references == references


def test_a_larger_limit_keeps_what_a_smaller_one_chose(tmp_path: Path, refused) -> None:
    chosen = {limit: pairs(data := load(tmp_path, limit=limit), data.train) for limit in (1, 17, 50, 190)}
    assert {limit: len(found) for limit, found in chosen.items()} == {limit: limit for limit in chosen}
    assert set(chosen[1]) < set(chosen[17]) < set(chosen[50]) < set(chosen[190])
    message = refused(InputError, load, tmp_path, limit=191)
    assert message == "data.limit: 191 is more than the 190 training examples of parallel-text"


def test_validation_on_the_test_pairs_holds_nothing_out(tmp_path: Path, refused) -> None:
    given = split(tmp_path, "test", 10, 7)
    data = load(tmp_path, validation="test", **given, **split(tmp_path, "val", 9, 5))
    assert pairs(data, data.train) == all_pairs(200)
    assert pairs(data, data.val) == all_pairs(10, 7)
    assert data.test is None
    assert (data.spec.num_train, data.spec.num_val, data.spec.num_test) == (200, 10, 0)
    assert len(load(tmp_path, validation="test", limit=5, **given).train) == 5
    unread = written(tmp_path / "long", "7" * 999 + "\n")
    load(tmp_path, validation="test", val_source=unread, val_target=unread, **given)
    assert "'test' needs a test split and parallel-text has none" in refused(
        InputError, load, tmp_path, validation="test"
    )
