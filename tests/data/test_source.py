"""A data set is looked at once: its source is handed down, and to other processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from minform_cli.config.schema import DataConfig
from minform_cli.data.container import Folder
from minform_cli.data.source import opened
from minform_cli.data.spec import described
from tests.data.pictures import archived, config, load


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
