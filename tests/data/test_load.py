"""Hold-out, limit, statistics and fingerprint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minform_cli.config.schema import DataConfig
from minform_cli.data.images.pixels import channel_statistics, chunks
from minform_cli.data.load import load_data
from minform_cli.data.spec import DATA_SETS
from minform_cli.data.split import allocate, stratified
from minform_cli.errors import InputError


def rows(split) -> set[bytes]:
    return {image.tobytes() for image in split.images}


def test_holdout_is_disjoint_complete_and_stratified() -> None:
    data = load_data(DataConfig(name="digits"))
    whole = load_data(DataConfig(name="digits", validation="test"))
    # The digits hold no two equal images, so equality of bytes is identity.
    assert len(rows(data.train) | rows(data.val) | rows(data.test)) == 1797
    assert rows(data.train) | rows(data.val) == rows(whole.train)
    assert rows(data.test) == rows(whole.val)
    share = np.bincount(whole.train.labels) * 270 / 1527
    assert np.abs(np.bincount(data.val.labels) - share).max() < 1


def test_fingerprint_is_the_same_today_as_when_the_split_was_fixed() -> None:
    """A change of split, scaling or order would silently make new results incomparable with old ones."""
    assert load_data(DataConfig(name="digits")).fingerprint == (
        "ca34ad7d412df0d4457368f33b6bd704c467f7716c27d89ea2d45000ba84ac3d"
    )


def test_fingerprint_depends_on_limit_and_validation() -> None:
    configs = [{}, {"limit": 100}, {"validation": "test"}, {"limit": 101}]
    found = {load_data(DataConfig(name="digits", **config)).fingerprint for config in configs}
    assert len(found) == 4


@pytest.mark.parametrize("limit", [10, 11, 97, 1254, 1257])
def test_limit_is_exact_stratified_and_leaves_everything_else_alone(limit: int) -> None:
    full = load_data(DataConfig(name="digits"))
    data = load_data(DataConfig(name="digits", limit=limit))
    assert len(data.train) == limit == data.spec.num_train
    assert rows(data.train) <= rows(full.train)
    counts = np.bincount(data.train.labels, minlength=10)
    assert counts.min() >= 1
    assert np.abs(counts - np.bincount(full.train.labels) * limit / 1257).max() < 1
    assert np.array_equal(data.val.images, full.val.images)
    assert (data.mean, data.std) == (full.mean, full.std)


@pytest.mark.parametrize(("limit", "word"), [(9, "10 classes"), (1258, "1,257 training examples")])
def test_limit_out_of_range_is_refused_before_anything_is_read(limit: int, word: str, refused) -> None:
    assert word in refused(InputError, DATA_SETS.get("digits").spec, DataConfig(name="digits", limit=limit))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.data())
def test_allocation_adds_up_and_never_takes_more_than_there_is(counts: list[int], data) -> None:
    total = data.draw(st.integers(len(counts), sum(counts)))
    shares = allocate(counts, total)
    assert sum(shares) == total
    assert all(1 <= share <= count for share, count in zip(shares, counts, strict=True))


def test_a_larger_choice_keeps_a_smaller_one_where_no_rounding_comes_between() -> None:
    labels = np.repeat(np.arange(5), 20)
    small, large = stratified(labels, 25, seed=1), stratified(labels, 50, seed=1)
    assert set(small) < set(large)
    assert not np.array_equal(small, stratified(labels, 25, seed=2))


def test_statistics_equal_numpys_in_double_precision() -> None:
    images = np.random.default_rng(0).integers(0, 256, (30_000, 3, 5, 16), dtype=np.uint8)
    mean, std = channel_statistics(chunks(images))
    # Sums of doubles over 2,400,000 numbers are good to about 1e-12; ours are exact before the last division.
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_channel_that_never_changes_is_not_divided_by_zero() -> None:
    assert channel_statistics([np.full((4, 1, 2, 2), 51, dtype=np.uint8)]) == ((0.2,), (1.0,))
