"""A data set is looked at once: its source is handed down, and to other processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from minform_cli.config.schema import DataConfig
from minform_cli.data.images import folder as folder_module
from minform_cli.data.images import stream
from minform_cli.data.images.container import Folder
from minform_cli.data.load import load_data
from minform_cli.data.source import opened
from minform_cli.data.spec import described
from tests.data.glue.published import settings, write
from tests.data.pairs import made
from tests.data.pairs.test_multi30k import multi30k
from tests.data.pictures import archived, config, load, make_folder
from tests.data.text.prose import prose, written


@pytest.mark.parametrize("name", ["image-folder", "imagenet-folder"])
def test_a_folder_is_listed_once_for_spec_fingerprint_and_examples(images: Path, monkeypatch, name: str) -> None:
    walks = []
    listing = Folder.listing
    monkeypatch.setattr(Folder, "listing", lambda self: walks.append(self.path) or listing(self))
    source = opened(DataConfig(name=name, path=str(images), image_size=8))
    data = source.load()
    assert walks == [images]
    assert data.spec is source.spec
    assert data.spec == described(source.data)


@pytest.mark.parametrize("kind", ["", ".zip", ".tar.gz"])
def test_a_source_goes_to_another_process(images: Path, kind: str) -> None:
    path = archived(images, kind) if kind else images
    sent = pickle.loads(pickle.dumps(opened(config(path))))
    assert sent.load().fingerprint == load(path).fingerprint


def test_a_set_without_files_of_the_users_has_nothing_to_list() -> None:
    source = opened(DataConfig(name="digits", limit=20))
    assert (source.files, source.notes) == (None, ())
    assert len(source.load().train) == source.spec.num_train == 20


def a_folder_of_images(folder: Path) -> dict[str, object]:
    make_folder(folder, {"train": {"a": 4, "b": 4}})
    return {"name": "image-folder", "path": str(folder)}


def a_file_of_text(folder: Path) -> dict[str, object]:
    return {"name": "text", "path": written(folder / "a.txt", prose(40)), "seq_len": 12, "vocab_size": 120}


def a_folder_of_texts(folder: Path) -> dict[str, object]:
    written(folder / "valid.txt", prose(20, seed=1))
    return a_file_of_text(folder / "train") | {"path": str(folder)}


def files_of_pairs(folder: Path) -> dict[str, object]:
    return made.settings(folder, 40).model_dump(exclude_none=True)


def a_folder_of_pairs(folder: Path) -> dict[str, object]:
    multi30k(folder)
    return {"name": "multi30k", "path": str(folder), "vocab_size": 400, "seq_len": 60, "tokenizer": "byte-bpe"}


def a_folder_of_glue(folder: Path) -> dict[str, object]:
    return settings(write(folder, "rte"), "rte").model_dump(exclude_none=True)


OF_THE_USER = [
    a_folder_of_images, a_file_of_text, a_folder_of_texts, files_of_pairs, a_folder_of_pairs, a_folder_of_glue,
]  # fmt: skip


@pytest.mark.parametrize("make", OF_THE_USER)
def test_the_same_data_at_another_path_have_the_same_fingerprint(tmp_path: Path, make) -> None:
    given = [make(tmp_path / place) for place in ("here", "and/there")]
    one, other = (load_data(DataConfig.model_validate(each)).fingerprint for each in given)
    assert one == other


def test_so_have_images_that_are_read_in_parts(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(folder_module, "memory_budget", lambda: 0)
    monkeypatch.setattr(stream, "num_workers", lambda: 1)
    test_the_same_data_at_another_path_have_the_same_fingerprint(tmp_path, a_folder_of_images)
