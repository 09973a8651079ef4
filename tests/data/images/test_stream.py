"""A folder too large for memory: the same batches from worker processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from minform_cli.config.schema import TrainConfig
from minform_cli.data.images import files, folder, stream
from minform_cli.data.images.files import ImageFiles
from minform_cli.data.images.image_batches import ImageBatches
from minform_cli.data.images.pixels import ImageData
from minform_cli.errors import InputError
from tests.data.pictures import archived, config, draw, load, sizes
from tests.waiting import until


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "memory_budget", lambda: 0)
    monkeypatch.setattr(stream, "num_workers", lambda: 2)


AUGMENTED = {"crop_padding": 1, "horizontal_flip": True}


def all_batches(
    data: ImageData, path: Path, start: int = 0, **kwargs: object
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    made = ImageBatches(
        data, config(path, **kwargs), TrainConfig(batch_size=8, eval_batch_size=7), 3, torch.device("cpu")
    )
    found = [*made.epoch(0, start), *made.epoch(1), *made.evaluation("train"), *made.evaluation("val")]
    return found + (list(made.evaluation("test")) if data.test else [])


def equal(first: list, second: list) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.inputs[0], b.inputs[0]) and torch.equal(a.labels, b.labels)
        for a, b in zip(first, second, strict=True)
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
    made = ImageBatches(data, config(images), TrainConfig(batch_size=8), 0, torch.device("cpu"))
    batches = made.epoch(0)
    next(batches)
    batches.close()
    until(lambda: not multiprocessing.active_children(), "the end of the processes that decode")


def test_an_archive_too_large_for_memory_is_to_be_unpacked(images: Path, no_memory, refused) -> None:
    assert "unpack the archive" in refused(InputError, load, archived(images, ".zip"))


def test_the_memory_budget_is_a_part_of_what_is_free() -> None:
    assert 2**20 < files.memory_budget() < 2**44


@pytest.mark.real_data
@pytest.mark.soak
def test_cifar10_as_jpeg_loads_whole_and_balanced(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = real_data / "cifar10-jpeg.tar.gz"
    data = load(path)
    assert sizes(data) == (45000, 5000, 10000)
    assert data.train.images.shape[1:] == (3, 32, 32)
    assert np.bincount(data.train.labels).tolist() == [4500] * 10
    assert np.bincount(data.val.labels).tolist() == [500] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    # The original CIFAR-10 has means 0.4914, 0.4822, 0.4465; JPEG moves them by less than 0.001.
    np.testing.assert_allclose(data.mean, (0.4914, 0.4822, 0.4465), atol=1e-3)
    monkeypatch.setattr(folder, "decode_members", lambda *_: pytest.fail("decoded again"))
    assert load(path).fingerprint == data.fingerprint
