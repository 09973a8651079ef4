"""Images that are in two splits are told, and left where they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minform_cli.data.images.duplicates import num_shared
from tests.data.pictures import load, sizes


def test_images_that_are_measured_and_trained_on_are_told(images: Path) -> None:
    shutil.copy(images / "train/cat/003.png", images / "val/ant/copy.png")  # under another class, too
    shutil.copy(images / "train/cat/004.png", images / "val/cat/other name.png")
    shutil.copy(images / "train/cat/005.png", images / "test/ant/copy.png")
    data = load(images)
    assert sizes(data) == (50, 7, 5)
    assert "in train, too, pixel by pixel: 2 of the 7 validation images" in data.notes
    assert "in train, too, pixel by pixel: 1 of the 5 test images" in data.notes


def test_what_is_held_out_is_compared_with_what_is_left(images: Path) -> None:
    shutil.rmtree(images / "val")
    shutil.rmtree(images / "test")
    assert load(images).notes == ()
    for path in [*images.rglob("*.png")]:
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    data = load(images)
    (told,) = data.notes
    held_out = [image.tobytes() for image in data.val.images]
    num = sum(image in {each.tobytes() for each in data.train.images} for image in held_out)
    assert told == f"in train, too, pixel by pixel: {num} of the 10 validation images"
    assert num > 5


@pytest.mark.parametrize("size", [4, 20])
@settings(max_examples=20)
@given(st.data())
def test_as_many_are_found_as_by_comparing_all(size: int, data) -> None:
    seed = data.draw(st.integers(0, 10**6))
    random = np.random.default_rng(seed)
    # Few different values, so that samples agree where whole images do not.
    train, measured = (random.integers(0, 2, (n, 1, size, size), dtype=np.uint8) for n in (9, 7))
    train[:, :, 1:] = measured[:, :, 1:] = 0
    measured[0] = train[3]
    among = {image.tobytes() for image in train}
    assert num_shared(train, measured) == sum(image.tobytes() in among for image in measured) >= 1
