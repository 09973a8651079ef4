"""Batches: order, resume, augmentation and normalisation."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from minform_cli.config.schema import DataConfig, TrainConfig
from minform_cli.data.batch import generator
from minform_cli.data.images.image_batches import ImageBatches
from minform_cli.data.images.pixels import ImageData
from minform_cli.data.load import load_data
from minform_cli.errors import InputError

CPU = torch.device("cpu")
AUGMENTED = {"crop_padding": 2, "horizontal_flip": True}


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_data(DataConfig(name="digits"))


def batches(dataset: ImageData, seed: int = 0, batch_size: int = 100, **data: object) -> ImageBatches:
    config = DataConfig(name="digits", **data)
    return ImageBatches(dataset, config, TrainConfig(batch_size=batch_size, eval_batch_size=64), seed, CPU)


def same(first, second) -> bool:
    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        torch.equal(a.inputs[0], b.inputs[0]) and torch.equal(a.labels, b.labels)
        for a, b in zip(first, second, strict=True)
    )


def test_an_epoch_has_every_example_once_and_keeps_the_last_smaller_batch(digits: ImageData) -> None:
    made = list(batches(digits).epoch(0))
    assert len(made) == batches(digits).steps_per_epoch == 13
    assert [len(batch.labels) for batch in made] == [100] * 12 + [57]
    pixels = torch.cat([batch.inputs[0] for batch in made])
    everything = torch.cat([batch.inputs[0] for batch in batches(digits).evaluation("train")])
    assert torch.equal(pixels.flatten(1).sort(0).values, everything.flatten(1).sort(0).values)
    assert not torch.equal(pixels, everything)


@pytest.mark.parametrize("start", [0, 1, 7, 12, 13])
def test_starting_at_k_equals_skipping_k(digits: ImageData, start: int) -> None:
    whole = batches(digits, **AUGMENTED).epoch(3)
    assert same(batches(digits, **AUGMENTED).epoch(3, start), islice(whole, start, None))


def test_order_and_augmentation_depend_on_seed_and_epoch_and_nothing_else(digits: ImageData) -> None:
    one = batches(digits, **AUGMENTED)
    first = list(one.epoch(0))
    torch.rand(1)
    list(one.evaluation("val"))
    assert same(first, one.epoch(0))
    assert same(first, batches(digits, **AUGMENTED).epoch(0))
    assert not same(first, one.epoch(1))
    assert not same(first, batches(digits, seed=1, **AUGMENTED).epoch(0))
    orders = {
        tuple(b.labels.tolist()) for s, e in [(0, 0), (0, 1), (1, 0), (1, 1)] for b in batches(digits, s).epoch(e)
    }
    assert len(orders) == 4 * 13, "without augmentation, no two epochs and no two seeds share a batch"


def test_the_global_random_state_is_neither_read_nor_moved(digits: ImageData) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    list(batches(digits, **AUGMENTED).epoch(0))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_evaluation_is_in_order_and_without_augmentation(digits: ImageData, split: str) -> None:
    made = list(batches(digits, normalize="unit-range", **AUGMENTED).evaluation(split))
    source = getattr(digits, split)
    assert torch.equal(torch.cat([b.labels for b in made]), torch.from_numpy(source.labels))
    expected = torch.from_numpy(source.images).double() / 127.5 - 1
    # float32 holds numbers up to 1 to 6e-8.
    torch.testing.assert_close(torch.cat([b.inputs[0] for b in made]).double(), expected, rtol=0, atol=2e-7)
    assert made[0].inputs[0].dtype == torch.float32
    assert made[0].labels.dtype == torch.int64


def test_mean_std_normalisation_is_that_of_the_official_training_set(digits: ImageData) -> None:
    official = load_data(DataConfig(name="digits", validation="test"))
    limited = load_data(DataConfig(name="digits", limit=50))
    assert limited.mean == official.mean == digits.mean
    whole = batches(official)
    pixels = torch.cat([b.inputs[0] for b in whole.evaluation("train")]).double()
    assert abs(pixels.mean().item()) < 1e-6
    assert abs(pixels.std(correction=0).item() - 1) < 1e-6


def test_a_test_split_that_serves_for_validation_cannot_be_asked_for(refused) -> None:
    official = load_data(DataConfig(name="digits", validation="test"))
    assert "no test split" in refused(InputError, list, batches(official).evaluation("test"))


def test_generators_of_different_keys_are_unrelated() -> None:
    drawn = {torch.rand(1, generator=generator(*key)).item() for key in [(0,), (0, 0), (1, 0), (0, 1), (11,), (1, 1)]}
    assert len(drawn) == 6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_batches_on_the_gpu_equal_those_on_the_cpu(digits: ImageData) -> None:
    data, train = DataConfig(name="digits", **AUGMENTED), TrainConfig(batch_size=100)
    on_cpu = ImageBatches(digits, data, train, 0, CPU).epoch(2)
    on_gpu = ImageBatches(digits, data, train, 0, torch.device("cuda")).epoch(2)
    for a, b in zip(on_cpu, on_gpu, strict=True):
        assert torch.equal(a.labels, b.labels.cpu())
        # A fused multiply-add on one of them may round once instead of twice.
        torch.testing.assert_close(a.inputs[0], b.inputs[0].cpu(), rtol=0, atol=1e-6)


def test_pixels_that_cannot_be_written_to_are_taken_without_a_warning(recwarn) -> None:
    dataset = load_data(DataConfig(name="digits"))
    dataset.train.images.setflags(write=False)
    list(batches(dataset).epoch(0))
    assert not [w for w in recwarn if "writ" in str(w.message)]
    assert isinstance(dataset.train.images, np.ndarray)
