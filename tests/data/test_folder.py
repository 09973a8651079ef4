"""Folders and archives of images: layout, decoding, cache, and streaming."""

from __future__ import annotations

import shutil
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minform_cli.config.schema import DataConfig, TrainConfig
from minform_cli.data import files, folder, stream
from minform_cli.data.batches import make_batches
from minform_cli.data.files import ImageFiles
from minform_cli.data.images import ImageData
from minform_cli.data.load import load_data
from minform_cli.data.spec import DATA_SETS, DataSpec
from minform_cli.errors import InputError
from tests.data.pictures import draw, make_folder


def config(path: Path, **kwargs: object) -> DataConfig:
    return DataConfig(name="image-folder", path=str(path), **kwargs)


def spec(path: Path, **kwargs: object) -> DataSpec:
    return DATA_SETS.get("image-folder").spec(config(path, **kwargs))


def load(path: Path, **kwargs: object) -> ImageData:
    data = load_data(config(path, **kwargs))
    assert data.spec == spec(path, **kwargs)
    return data


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


CLASSES = {"cat": 20, "ant": 30}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "my images", {"train": CLASSES, "val": {"cat": 3, "ant": 2}, "test": {"ant": 4}})


def sizes(data: ImageData) -> tuple[int, int, int | None]:
    return len(data.train), len(data.val), len(data.test) if data.test else None


def test_classes_are_the_sorted_folders_and_images_come_by_class_and_name(images: Path) -> None:
    data = load(images)
    assert data.spec.class_names == ("ant", "cat")
    assert data.spec.title == "my images (image-folder)"
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


def archived(images: Path, kind: str, top: str = "") -> Path:
    path = images.parent / f"packed{kind}"
    found = sorted((p for p in images.rglob("*") if p.is_file()), reverse=True)  # an order that is not ours
    if kind == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for p in found:
                archive.write(p, f"{top}{p.relative_to(images)}")
    else:
        with tarfile.open(path, "w" if kind == ".tar" else "w:gz") as archive:
            for p in found:
                archive.add(p, f"{top}{p.relative_to(images)}")
    return path


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz", ".tgz"])
@pytest.mark.parametrize("top", ["", "./", "things/"])
def test_an_archive_gives_what_its_folder_gives_and_is_not_unpacked(images: Path, kind: str, top: str) -> None:
    before = load(images)
    path = archived(images, kind, top)
    data = load(path)
    assert data.fingerprint == before.fingerprint
    assert (data.mean, data.std) == (before.mean, before.std)
    assert data.spec.title == "packed (image-folder)"
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


def test_the_first_image_decides_between_grey_and_colour(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "mixed", {"train": {"a": 10}}, mode="L")
    make_folder(path, {"train": {"b": 10}}, mode="RGB")
    assert load(path).train.images.shape == (18, 1, 8, 8)
    draw(path / "train/a/000.png", seed=0, mode="RGBA")
    assert load(path).train.images.shape == (18, 3, 8, 8)


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


# A folder too large for memory


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "memory_budget", lambda: 0)
    monkeypatch.setattr(stream, "num_workers", lambda: 2)


AUGMENTED = {"crop_padding": 1, "horizontal_flip": True}


def all_batches(
    data: ImageData, path: Path, start: int = 0, **kwargs: object
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    made = make_batches(
        data, config(path, **kwargs), TrainConfig(batch_size=8, eval_batch_size=7), 3, torch.device("cpu")
    )
    found = [*made.epoch(0, start), *made.epoch(1), *made.evaluation("train"), *made.evaluation("val")]
    return found + (list(made.evaluation("test")) if data.test else [])


def equal(first: list, second: list) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("kwargs", [{}, {"limit": 20}, {"validation": "test"}, {"image_size": 5}])
def test_streamed_batches_equal_resident_ones_bit_for_bit(images, monkeypatch, kwargs, request) -> None:
    resident = load(images, **kwargs)
    expected = all_batches(resident, images, **kwargs, **AUGMENTED)
    request.getfixturevalue("no_memory")
    streamed = load(images, **kwargs)
    assert isinstance(streamed.train.images, ImageFiles)
    # The sample for the statistics is larger than this folder, so it holds every image.
    assert (streamed.mean, streamed.std) == (resident.mean, resident.std)
    assert equal(all_batches(streamed, images, **kwargs, **AUGMENTED), expected)


def test_streamed_batches_resume_and_leave_the_global_random_state_alone(images: Path, no_memory) -> None:
    data = load(images)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    whole = all_batches(data, images, **AUGMENTED)
    assert equal(all_batches(data, images, start=3, **AUGMENTED), whole[3:])
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_fingerprint_of_files_changes_with_a_file(images: Path, no_memory) -> None:
    first = load(images).fingerprint
    assert load(images).fingerprint == first
    draw(images / "train/cat/003.png", seed=77, mode="L")
    assert load(images).fingerprint != first


def test_a_damaged_image_in_a_worker_is_one_line_without_its_traceback(images: Path, no_memory, refused) -> None:
    data = load(images)
    (images / "train/cat/003.png").write_bytes(b"broken since")
    assert "train/cat/003.png" in refused(InputError, all_batches, data, images)
    (images / "train/cat/003.png").unlink()
    assert "train/cat/003.png" in refused(InputError, all_batches, data, images)


def test_an_epoch_left_early_leaves_no_process_behind(images: Path, no_memory) -> None:
    import multiprocessing

    data = load(images)
    made = make_batches(data, config(images), TrainConfig(batch_size=8), 0, torch.device("cpu"))
    batches = made.epoch(0)
    next(batches)
    batches.close()
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children()


def test_an_archive_too_large_for_memory_is_to_be_unpacked(images: Path, no_memory, refused) -> None:
    assert "unpack the archive" in refused(InputError, load, archived(images, ".zip"))


def test_the_memory_budget_is_a_part_of_what_is_free() -> None:
    assert 2**20 < files.memory_budget() < 2**44


@pytest.mark.real_data
@pytest.mark.slow
def test_cifar10_as_jpeg_loads_whole_and_balanced(real_data: Path) -> None:
    path = real_data / "cifar10-jpeg.tar.gz"
    data = load(path)
    assert sizes(data) == (45000, 5000, 10000)
    assert data.train.images.shape[1:] == (3, 32, 32)
    assert np.bincount(data.train.labels).tolist() == [4500] * 10
    assert np.bincount(data.val.labels).tolist() == [500] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    # The original CIFAR-10 has means 0.4914, 0.4822, 0.4465; JPEG moves them by less than 0.001.
    np.testing.assert_allclose(data.mean, (0.4914, 0.4822, 0.4465), atol=1e-3)
    started = time.monotonic()
    assert load(path).fingerprint == data.fingerprint
    assert time.monotonic() - started < 20
