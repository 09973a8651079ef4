"""Folders of texts as people have them: what systems leave in them, splits by their usual names, a text twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minform_cli.data.text import repeats
from minform_cli.data.text.repeats import repeated_stretches, row_hashes
from minform_cli.data.text.tokens import Sequences
from minform_cli.errors import InputError
from tests.data.text.prose import load, prose, written

LEFT = [".ipynb_checkpoints/a-checkpoint.txt", ".hidden.txt", "__MACOSX/a.txt", "~$a.txt", "deep/.git/a.txt"]


def test_what_systems_and_editors_leave_is_no_text(tmp_path: Path) -> None:
    written(tmp_path / "set/a.txt", prose(40))
    expected = load(path=str(tmp_path / "set"))
    for name in LEFT:
        written(tmp_path / "set" / name, prose(40))
    found = load(path=str(tmp_path / "set"))
    assert found.fingerprint == expected.fingerprint
    assert found.notes == expected.notes


def test_other_files_of_a_folder_are_named(tmp_path: Path) -> None:
    written(tmp_path / "set/a.txt", prose(40))
    for name in ("b.md", "c/d.jsonl"):
        written(tmp_path / "set" / name, "x")
    told = load(path=str(tmp_path / "set")).notes
    assert "left out of the text, as they are no .txt or .txt.gz: 'b.md', 'c/d.jsonl'" in told


NAMED = [
    {"train": "train.txt", "val": "valid.txt", "test": "test.txt"},
    {"train": "Training/a.txt", "val": "DEV/b.txt", "test": "testing/deeper/c.txt"},
]


@pytest.mark.parametrize("names", NAMED)
def test_splits_in_a_folder_are_its_splits(tmp_path: Path, names: dict[str, str]) -> None:
    texts = {"train": prose(60), "val": prose(20, seed=1), "test": prose(20, seed=2)}
    apart = {split: written(tmp_path / f"apart/{split}.txt", text) for split, text in texts.items()}
    expected = load(path=apart["train"], val_path=apart["val"], test_path=apart["test"])
    for split, text in texts.items():
        written(tmp_path / "set" / names[split], text)
    written(tmp_path / "set/more.txt", prose(9, seed=3))
    found = load(path=str(tmp_path / "set"))
    assert found.fingerprint == expected.fingerprint
    tops = ", ".join(repr(name.split("/")[0]) for name in names.values())
    assert found.notes[0] == (
        f"{tops} of data.path are its texts for train, val, test; 'more.txt' beside them: left alone"
    )
    measured = load(path=str(tmp_path / "set"), validation="test")
    assert measured.fingerprint == load(path=apart["train"], test_path=apart["test"], validation="test").fingerprint


@pytest.mark.parametrize("names", [["train.txt", "a.txt"], ["test.txt", "valid.txt"], ["test.txt", "Test.txt"]])
def test_a_folder_without_a_text_to_train_on_and_another_is_one_text(tmp_path: Path, names: list[str]) -> None:
    for seed, name in enumerate(names):
        written(tmp_path / "set" / name, prose(20, seed))
        written(tmp_path / "plain" / f"{seed if names[0] > names[1] else 1 - seed}.txt", prose(20, seed))
    assert len(load(path=str(tmp_path / "set")).train.tokens) == len(load(path=str(tmp_path / "plain")).train.tokens)


def test_two_texts_for_one_split_are_refused(tmp_path: Path, refused) -> None:
    for seed, name in enumerate(("train.txt", "valid.txt", "elsewhere/x.txt")):
        written(tmp_path / name, prose(20, seed))
    folder = str(tmp_path)
    message = refused(InputError, load, path=folder, val_path=str(tmp_path / "elsewhere"))
    assert message.startswith("data.val_path: ")
    assert "keep one of them" in message
    load(path=folder, val_path=str(tmp_path / "valid.txt"))
    written(tmp_path / "dev/y.txt", prose(20, 4))
    assert "has 'dev' and 'valid.txt', two names of one split" in refused(InputError, load, path=folder)


def test_a_text_that_is_validated_on_must_not_lie_in_the_training_text(tmp_path: Path, refused) -> None:
    for seed, name in enumerate(("a.txt", "b.txt")):
        written(tmp_path / "set" / name, prose(20, seed))
    message = refused(InputError, load, path=str(tmp_path / "set"), val_path=str(tmp_path / "set/b.txt"))
    assert message.startswith("data.val_path: ")
    assert "b.txt' is also a text of data.path" in message


def test_a_text_that_is_there_twice_is_told_held_out_or_apart(tmp_path: Path) -> None:
    once, path = prose(300), str(tmp_path / "set")
    written(tmp_path / "set/a.txt", once)
    settings = {"seq_len": 34, "vocab_size": 120}
    assert not [note for note in load(path=path, **settings).notes if "word for word" in note]
    val = written(tmp_path / "val.txt", prose(20, seed=9) + "\n\n" + "\n\n".join(once.split("\n\n")[100:120]))
    (told,) = (note for note in load(path=path, val_path=val, **settings).notes if "word for word" in note)
    assert "validated on" in told
    written(tmp_path / "set/copy.txt", once)
    (told,) = (note for note in load(path=path, **settings).notes if "word for word" in note)
    # Only where both copies are held out, and where a stretch reaches over the end of a text, is it not trained on.
    assert float(told.split(" %")[0]) > 80


def test_stretches_are_found_wherever_they_begin_and_only_in_what_is_trained_on(monkeypatch) -> None:
    monkeypatch.setattr(repeats, "CHUNK", 500)
    random = np.random.default_rng(0)
    row = random.integers(0, 30_000, 4000).astype(np.uint16)
    row[3003:3103] = row[40:140]
    measured = Sequences(row, 100, np.array([30, 31]))
    # Of 2 x 3 stretches those at 3032 and 3064 lie in the copy: of 69 to 100, in two spans, and of 101 to 132, in one.
    for chosen, expected in (([0, 1, 2], 2), ([1, 2, 3], 1), ([0, 2], 0), ([2, 3], 0)):
        assert repeated_stretches(Sequences(row, 100, np.array(chosen)), measured) == (expected, 6)
    with monkeypatch.context() as patch:
        patch.setattr(repeats, "FILTER_BITS", 1)
        assert repeated_stretches(Sequences(row, 100, np.arange(30)), measured) == (2, 6)


def test_hashes_of_rows_tell_them_apart_however_they_are_cut(monkeypatch) -> None:
    rows = [[1, 2, 3], [], [1, 2, 3], [0, 1, 2, 3], [3, 2, 1], [1, 2, 3, 0], [0], [0, 0]]
    tokens = np.array([t for row in rows for t in row], dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    expected = row_hashes(tokens, offsets)
    assert expected[0] == expected[2]
    assert len(set(expected.tolist())) == len(rows) - 1
    for chunk in (1, 3, 7):
        monkeypatch.setattr(repeats, "CHUNK", chunk)
        assert np.array_equal(row_hashes(tokens, offsets), expected)
