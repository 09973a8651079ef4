"""Folders and archives of images: layout, decoding, cache, and streaming."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minform_cli.config.schema import DataConfig
from minform_cli.data.images import folder
from minform_cli.data.load import load_data
from minform_cli.data.spec import DATA_SETS
from minform_cli.errors import InputError
from tests.data.pictures import archived, draw, load, make_folder, sizes, spec


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


def test_classes_are_the_sorted_folders_and_images_come_by_class_and_name(images: Path) -> None:
    data = load(images)
    assert data.spec.class_names == ("ant", "cat")
    assert data.spec.title == "my images (image-folder, 8x8 colour)"
    assert sizes(data) == (50, 5, 4)
    assert data.train.labels.tolist() == [0] * 30 + [1] * 20
    assert np.array_equal(data.train.images[0], pixels(images / "train/ant/000.png"))
    assert np.array_equal(data.train.images[49], pixels(images / "train/cat/019.png"))
    assert np.array_equal(data.val.images[4], pixels(images / "val/cat/002.png"))


@pytest.mark.parametrize(
    ("missing", "validation", "expected"),
    [
        ((), "holdout", (50, 5, 4)),
        ((), "test", (50, 4, None)),
        (("test",), "holdout", (50, 5, None)),
        (("val",), "holdout", (45, 5, 4)),
        (("val",), "test", (50, 4, None)),
        (("val", "test"), "holdout", (45, 5, None)),
    ],
)
def test_splits_follow_from_the_folders_that_are_there(images, missing, validation, expected) -> None:
    for split in missing:
        shutil.rmtree(images / split)
    data = load(images, validation=validation)
    assert sizes(data) == expected
    if "val" in missing and validation == "holdout":
        assert np.bincount(data.val.labels).tolist() == [3, 2]


def test_validation_on_a_test_folder_that_is_not_there_is_refused(images: Path, refused) -> None:
    shutil.rmtree(images / "test")
    assert "needs a test split" in refused(InputError, spec, images, validation="test")


def test_a_class_of_one_image_cannot_be_held_out(tmp_path: Path, refused) -> None:
    path = make_folder(tmp_path / "one", {"train": {"a": 1, "b": 30}})
    assert "'a' has a single training image" in refused(InputError, spec, path)


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz", ".tgz"])
@pytest.mark.parametrize("top", ["", "./", "things/"])
def test_an_archive_gives_what_its_folder_gives_and_is_not_unpacked(images: Path, kind: str, top: str) -> None:
    before = load(images)
    path = archived(images, kind, top)
    data = load(path)
    assert data.fingerprint == before.fingerprint
    assert (data.mean, data.std) == (before.mean, before.std)
    assert data.spec.title == "packed (image-folder, 8x8 colour)"
    assert sorted(p.name for p in images.parent.iterdir()) == sorted(["cache", images.name, path.name])


def test_other_files_are_left_alone(images: Path) -> None:
    before = load(images).fingerprint
    for name in (".DS_Store", "._000.png", "Thumbs.db", "desktop.ini", "notes.txt"):
        (images / "train/cat" / name).write_bytes(b"not an image")
    (images / "train/.hidden").mkdir()
    shutil.copytree(images / "train/cat", images / "train/.hidden/cat")
    (images / "README.md").write_text("about")
    assert load(images).fingerprint == before


def test_nested_folders_and_the_owners_links_are_followed_but_no_circle(images: Path) -> None:
    before = load(images)
    (images / "train/ant").rename(images.parent / "elsewhere")
    (images / "train/ant").symlink_to(images.parent / "elsewhere")
    (images / "train/cat/deeper").mkdir()
    (images / "train/cat/019.png").rename(images / "train/cat/deeper/019.png")
    (images / "train/cat/deeper/again").symlink_to(images / "train")
    (images / "train/whole").symlink_to(images / "train")
    data = load(images)
    assert np.array_equal(data.train.images, before.train.images)
    assert sizes(data) == sizes(before)


def test_a_link_to_nothing_is_named(images: Path, refused) -> None:
    (images / "train/cat/gone.png").symlink_to(images / "nowhere.png")
    assert "gone.png" in refused(InputError, spec, images)


def test_the_same_images_are_decoded_once_until_a_file_changes(images: Path, monkeypatch) -> None:
    first = load(images).fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(folder, "decode_members", lambda *args: pytest.fail("decoded again"))
        assert load(images).fingerprint == first
    draw(images / "train/cat/000.png", seed=999)
    assert load(images).fingerprint != first


def test_a_corrupt_cache_is_made_again_silently(images: Path, own_cache: Path, recwarn) -> None:
    path = archived(images, ".tar.gz")
    first = load(path).fingerprint
    for entry in (own_cache / "decoded").glob("*.npz"):
        content = bytearray(entry.read_bytes())
        content[len(content) // 2] ^= 255
        entry.write_bytes(content)
    assert load(path).fingerprint == first
    assert not list(recwarn)


def test_images_are_resized_on_the_shorter_side_and_cropped_to_the_middle(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "wide", {"train": {"a": 10, "b": 10}}, size=(40, 20))
    data = load(path, image_size=10)
    assert data.train.images.shape[1:] == (3, 10, 10)
    image = Image.open(path / "train/a/000.png").resize((20, 10), Image.Resampling.BILINEAR).crop((5, 0, 15, 10))
    expected = np.asarray(image).transpose(2, 0, 1)
    assert any(np.array_equal(expected, found) for found in [*data.train.images, *data.val.images])


def test_images_of_other_sizes_are_refused_with_the_setting_that_helps(images: Path, refused) -> None:
    draw(images / "train/cat/005.png", seed=1, size=(9, 8))
    message = refused(InputError, load, images)
    assert "train/cat/005.png" in message
    assert "--set data.image_size=8" in message
    assert load(images, image_size=8).spec.height == 8


def test_a_class_that_is_not_in_train_is_refused_with_the_nearest(images: Path, refused) -> None:
    (images / "val/cat").rename(images / "val/cats")
    message = refused(InputError, spec, images)
    assert "'cats' of val" in message
    assert "did you mean 'cat'" in message


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"no image at all", "cut"])
def test_a_damaged_image_is_named(images: Path, refused, content) -> None:
    path = images / "train/cat/007.png"
    path.write_bytes(path.read_bytes()[:-60] if content == "cut" else content)
    message = refused(InputError, load, images)
    assert "train/cat/007.png" in message


def test_what_is_not_a_folder_of_images_is_refused(tmp_path: Path, refused) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.rar").write_bytes(b"x")
    make_folder(tmp_path / "flat", {"a": {"": 3}})
    assert "train/<class>/<image>" in refused(InputError, spec, tmp_path / "empty")
    assert "train/<class>/<image>" in refused(InputError, spec, tmp_path / "flat")
    assert "does not exist" in refused(InputError, spec, tmp_path / "nothing")
    assert ".tar.gz" in refused(InputError, spec, tmp_path / "file.rar")
    for odd in ("x" * 5000, "~no such user/x", "nul\0", "\x1b[2J", "", "https://example.org/x.zip"):
        refused(InputError, spec, odd)
    assert "--set data.path" in refused(InputError, DATA_SETS.get("image-folder").spec, DataConfig(name="image-folder"))


def test_imagenet_with_a_folder_is_that_folder_at_224_pixels(images: Path) -> None:
    data = load_data(DataConfig(name="imagenet-folder", path=str(images)))
    assert data.train.images.shape == (50, 3, 224, 224)
    assert data.spec.name == "imagenet-folder"
