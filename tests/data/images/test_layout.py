"""Folders as people lay them out: splits by their usual names, nothing left out without a word, mistakes refused."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from minform_cli.data.source import opened
from minform_cli.errors import InputError
from tests.data.pictures import archived, config, load, make_folder, sizes, spec

SPLITS = {"train": {"cat": 6, "ant": 8}, "val": {"cat": 3, "ant": 2}, "test": {"ant": 4, "cat": 1}}


def folder(root: Path, names: dict[str, str], **more: dict[str, int]) -> Path:
    return make_folder(
        root / "set", {**{names.get(split, split): classes for split, classes in SPLITS.items()}, **more}
    )


def notes(path: Path, **kwargs: object) -> str:
    return "\n".join(opened(config(path, **kwargs)).notes)


@pytest.mark.parametrize("kind", ["", ".zip", ".tar"])
@pytest.mark.parametrize(
    "names",
    [
        {"val": "valid"},
        {"train": "Training", "val": "Validation", "test": "TESTING"},
        {"train": "TRAIN", "val": "dev", "test": "Test"},
    ],
)
def test_splits_go_by_their_usual_names_in_whatever_case(tmp_path: Path, names: dict[str, str], kind: str) -> None:
    expected = load(folder(tmp_path / "usual", {})).fingerprint
    path = folder(tmp_path, names)
    data = load(archived(path, kind) if kind else path)
    assert sizes(data) == (14, 5, 5)
    assert data.spec.own_val
    assert data.fingerprint == expected
    assert data.notes == ()


@pytest.mark.parametrize("kind", ["", ".zip", ".tar"])
@pytest.mark.parametrize("other", ["valid", "VAL", "dev"])
def test_two_names_of_one_split_are_refused(tmp_path: Path, refused, other: str, kind: str) -> None:
    path = folder(tmp_path, {}, **{other: {"cat": 1}})
    message = refused(InputError, spec, archived(path, kind) if kind else path)
    assert f"{other!r}" in message
    assert "'val'" in message
    assert "two names of one split" in message


@pytest.mark.parametrize("kind", ["", ".zip"])
def test_folders_with_images_beside_train_are_named(tmp_path: Path, kind: str) -> None:
    path = folder(tmp_path, {"test": "holdout"}, extra={"x": 1})
    told = notes(archived(path, kind) if kind else path)
    assert "left alone beside 'train', 'val': 'extra', 'holdout' with 6 images" in told


def test_a_split_without_an_image_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path, {"val": "valid"})
    for file in (path / "valid").rglob("*.png"):
        file.rename(file.with_suffix(".heic"))
    assert "'valid' has no image, but 5 .heic, and is not used" in notes(path)


def test_classes_that_other_splits_lack_are_named(images: Path) -> None:
    shutil.rmtree(images / "val/ant")
    told = notes(images)
    assert "val has no image of 1 of the 2 classes: 'ant'" in told
    assert "test has no image of 1 of the 2 classes: 'cat'" in told


@pytest.mark.parametrize("kind", ["", ".zip", ".tar"])
@pytest.mark.parametrize("content", [None, "x.heic"])
def test_a_class_without_an_image_is_refused_and_named(tmp_path: Path, refused, kind: str, content: str | None) -> None:
    path = folder(tmp_path, {})
    (path / "train/cow").mkdir()
    if content:
        (path / "train/cow" / content).write_bytes(b"x")
    elif kind == ".tar":
        pytest.skip("the test's own packing leaves out empty folders")
    packed = archived(path, kind) if kind else path
    if kind == ".zip" and not content:
        with zipfile.ZipFile(packed, "a") as archive:
            archive.writestr("train/cow/", b"")
    message = refused(InputError, spec, packed)
    assert "the class 'cow' has no image" in message
    assert ("it holds 1 .heic, which cannot be read" if content else "it is empty") in message


def test_one_class_is_refused_naming_the_folders_that_look_like_classes(tmp_path: Path, refused) -> None:
    path = make_folder(tmp_path / "deep", {"train/images": {"cat": 3, "dog": 3}})
    message = refused(InputError, spec, path)
    assert "'images' is the only class" in message
    assert "'cat', 'dog' in it look like the classes: move them up to train/" in message
    alone = make_folder(tmp_path / "alone", {"train": {"cat": 3}})
    assert "there must be two or more" in refused(InputError, spec, alone)


@pytest.mark.parametrize("kind", ["", ".zip"])
def test_a_flat_folder_of_classes_is_train_with_a_part_held_out_and_says_so(tmp_path: Path, kind: str) -> None:
    flat = make_folder(tmp_path / "photos", {"": {"cat": 20, "dog": 30}})
    path = archived(flat, kind, "photos/") if kind else flat
    data = load(path)
    assert data.spec.class_names == ("cat", "dog")
    assert sizes(data) == (45, 5, None)
    assert data.notes == (
        "there is no folder train: the 2 folders 'cat', 'dog' are taken for the classes, and part of the images is "
        "held out for validation",
    )
    nested = make_folder(tmp_path / "nested", {"train": {"cat": 20, "dog": 30}})
    assert load(nested).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"training_set": {"cat": 2}, "test_set": {"cat": 2}}, "'test_set', 'training_set' look like splits"),
        ({"seg-train": {"cat": 2}, "seg-test": {"cat": 2}}, "look like splits"),
        ({"valid": {"cat": 2, "dog": 2}}, "'valid' and no folder train"),
        ({"data/train": {"cat": 2, "dog": 2}, "docs": {"x": 1}}, "train inside 'data'; give that folder"),
        ({"all": {"": 4}}, "4 images in 'all' and no folder of a class"),
        ({"train": {"": 4}}, "4 images in 'train' and no folder of a class"),
        ({"train": {"a": 2, "b": 2}, "val": {"": 1}}, ": 1 image in 'val' and no folder of a class"),
    ],
)
def test_folders_that_are_no_classes_are_not_taken_for_classes(tmp_path: Path, refused, splits, words: str) -> None:
    assert words in refused(InputError, spec, make_folder(tmp_path / "set", splits))


def test_a_folder_around_the_splits_is_looked_into(tmp_path: Path) -> None:
    make_folder(tmp_path / "a/b/set", {"train": {"cat": 6, "ant": 8}})
    assert sizes(load(tmp_path / "a")) == (12, 2, None)


def test_what_is_left_out_is_told_by_suffix_and_place(images: Path) -> None:
    for name in ("cat/a.heic", "cat/b.HEIC", "ant/notes.txt", "ant/plain"):
        (images / "train" / name).write_bytes(b"x")
    (images / "train/loose.png").write_bytes((images / "train/ant/000.png").read_bytes())
    told = notes(images)
    assert "1 image in 'train' beside the folders of the classes: left out" in told
    assert "1 without a suffix, 2 .heic, 1 .txt in 'train/ant', 'train/cat'" in told


HIDDEN = [".x.png", "._000.png", "~$x.png", "x.png~", ".ipynb_checkpoints/x.png", "__MACOSX/x.png", "@eaDir/x.png"]


@pytest.mark.parametrize("kind", ["", ".zip", ".tar"])
def test_what_systems_leave_is_no_image_and_no_class(tmp_path: Path, kind: str) -> None:
    path = folder(tmp_path, {})
    before = load(path)
    content = (path / "train/cat/000.png").read_bytes()
    for place in ("", "train/", "train/cat/"):
        for name in [*HIDDEN, "Thumbs.db", "desktop.ini", ".DS_Store"]:
            (path / place / name).parent.mkdir(exist_ok=True)
            (path / place / name).write_bytes(content)
    data = load(archived(path, kind) if kind else path)
    assert data.fingerprint == before.fingerprint
    assert data.notes == before.notes
