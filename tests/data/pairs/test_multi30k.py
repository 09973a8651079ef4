"""Multi30k: found, read in both directions, and of its published sizes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from minform_cli.config.schema import DataConfig
from minform_cli.data.load import load_data
from minform_cli.data.pairs.pair_data import PairData
from minform_cli.errors import InputError
from tests.data.pairs.made import content, equal, pairs, sentences, texts, translated
from tests.data.text.prose import silent, written


def multi30k(folder: Path, packed: bool = True) -> dict[str, list[str]]:
    """Its files, with made-up sentences; returned by name."""
    source = {"train": sentences(90), "val": sentences(12, 3), "test_2016_flickr": sentences(7, 4)}
    lines = {f"{name}.en": each for name, each in source.items()}
    lines |= {f"{name}.de": translated(each) for name, each in source.items()}
    for name, each in lines.items():
        text = content(each).encode()
        written(folder / (f"{name}.gz" if packed else name), gzip.compress(text) if packed else text)
    return lines


def load_multi30k(**fields: object) -> PairData:
    defaults: dict[str, object] = {"name": "multi30k", "tokenizer": "byte-bpe", "vocab_size": 400, "seq_len": 60}
    data = load_data(DataConfig.model_validate(defaults | fields), silent)
    assert isinstance(data, PairData)
    return data


@pytest.mark.parametrize("packed", [True, False])
def test_multi30k_in_both_directions(tmp_path: Path, packed: bool) -> None:
    lines = multi30k(tmp_path / "files", packed)
    there = load_multi30k(path=str(tmp_path / "files"))
    back = load_multi30k(path=str(tmp_path / "files"), subset="de-en")
    assert equal(there, load_multi30k(path=str(tmp_path / "files"), subset="en-de"))
    assert (there.spec.title, back.spec.title) == ("Multi30k en-de", "Multi30k de-en")
    for name, split_name in (("train", "train"), ("val", "val"), ("test", "test_2016_flickr")):
        expected = list(zip(lines[f"{split_name}.en"], lines[f"{split_name}.de"], strict=True))
        assert pairs(there, getattr(there, name)) == expected
        assert pairs(back, getattr(back, name)) == [(b, a) for a, b in expected]
    assert list(back.val.references) == lines["val.en"]


@pytest.mark.parametrize("place", ["multi30k", "."])
def test_multi30k_is_found_below_minform_data(tmp_path: Path, place: str, monkeypatch) -> None:
    multi30k(tmp_path / "files" / place)
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path / "files"))
    assert len(load_multi30k().train) == 90


def test_multi30k_that_is_not_there_or_not_whole_is_refused(tmp_path: Path, refused) -> None:
    assert "data.path: Multi30k is not below MINFORM_DATA as multi30k" in refused(InputError, load_multi30k)
    missing = refused(InputError, load_multi30k, path=f"{tmp_path}/x")
    assert f"data.path: '{tmp_path}/x' does not exist; accepted: a folder with train.en, train.de" in missing
    multi30k(tmp_path)
    assert "is no folder" in refused(InputError, load_multi30k, path=f"{tmp_path}/train.en.gz")
    (tmp_path / "val.de.gz").unlink()
    message = refused(InputError, load_multi30k, path=str(tmp_path))
    assert message == f"data.path: there is no val.de and no val.de.gz in '{tmp_path}'"
    written(tmp_path / "val.de", "a\n\n")
    assert f"data.path: '{tmp_path}/val.de': line 2 is empty" in refused(InputError, load_multi30k, path=str(tmp_path))


def test_unknown_languages_are_refused(refused) -> None:
    message = refused(InputError, load_multi30k, subset="en-fr")
    assert message.startswith("data.subset: unknown subset 'en-fr'; did you mean 'en-de'?; accepted: de-en, en-de")


@pytest.mark.real_data
@pytest.mark.usefixtures("real_data")
def test_multi30k_has_its_published_sizes() -> None:
    data = load_multi30k(vocab_size=4000, seq_len=100)
    assert (data.spec.num_train, data.spec.num_val, data.spec.num_test) == (29_000, 1_014, 1_000)
    assert data.test is not None
    assert data.test.references[0] == "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt."
    assert texts(data, data.test.source)[0] == "A man in an orange hat starring at something."
    assert data.train.source.tokens.max() < 4000
    assert len(load_multi30k(vocab_size=4000, seq_len=100, limit=500).train) == 500


def test_the_validation_files_go_by_their_usual_names(tmp_path: Path, refused) -> None:
    multi30k(tmp_path, packed=False)
    expected = load_multi30k(path=str(tmp_path)).fingerprint
    for language in ("en", "de"):
        (tmp_path / f"val.{language}").rename(tmp_path / f"valid.{language}")
    assert load_multi30k(path=str(tmp_path)).fingerprint == expected
    written(tmp_path / "dev.en", "a\n")
    message = refused(InputError, load_multi30k, path=str(tmp_path))
    assert "has 'dev' and 'valid', two names of one split" in message
