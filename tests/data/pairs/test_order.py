"""The order of batches of sentence pairs: seeds, epochs, resume, shares, processes."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch

from minform_cli.data.batch import WHOLE, Batch, Share
from minform_cli.data.pairs.pair_data import PairData
from minform_cli.errors import InputError
from tests.data.pairs.checks import (
    WAYS,
    batches,
    expected,
    found,
    found_widths,
    same,
)
from tests.data.pairs.made import load


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_evaluation_is_by_length_and_the_same_for_every_seed(data: PairData, name: str) -> None:
    part = getattr(data, name)
    made = list(batches(data).evaluation(name))
    assert all(found(batch) == expected(part, batch.numbers) for batch in made)
    order = torch.cat([batch.numbers for batch in made])
    assert sorted(order.tolist()) == list(range(len(part)))
    widths = [sorted((len(t), len(s)), reverse=True) for batch in made for s, t in found(batch)]
    assert widths == sorted(widths), "by the longer sentence, then by the shorter one"
    assert [batch.num_examples for batch in made] == [10] * (len(part) // 10) + [len(part) % 10] * (len(part) % 10 > 0)
    assert same(made, batches(data, seed=5, batch_tokens=200).evaluation(name))
    for size_ in (1, 7, 1000):
        other = batches(data, eval_batch_size=size_).evaluation(name)
        assert torch.equal(torch.cat([batch.numbers for batch in other]), order)


def test_a_split_that_is_not_there_is_refused(tmp_path: Path, refused) -> None:
    message = refused(InputError, list, batches(load(tmp_path)).evaluation("test"))
    assert message == "sentence pairs has no test split beside its validation split"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("start", [0, 1, 5, 12, 40])
def test_starting_at_k_equals_skipping_k(data: PairData, way: dict[str, object], start: int) -> None:
    for share in (WHOLE, Share(1, 2)):
        whole = batches(data, share, **way).epoch(3)
        assert same(batches(data, share, **way).epoch(3, start), islice(whole, start, None))


def test_batches_depend_on_seed_and_epoch_and_nothing_else(data: PairData) -> None:
    one = batches(data)
    first = list(one.epoch(0))
    state = torch.random.get_rng_state()
    list(one.epoch(4))
    list(one.evaluation("val"))
    assert same(first, one.epoch(0))
    assert same(first, batches(data).epoch(0))
    assert torch.equal(state, torch.random.get_rng_state())


def test_every_epoch_and_seed_has_as_many_batches_of_the_same_sizes(data: PairData) -> None:
    def shapes(seed: int, epoch: int) -> list[tuple[int, int]]:
        made = batches(data, seed=seed, batch_tokens=150).epoch(epoch)
        return sorted((len(batch.numbers), int(found_widths(data.train, batch).max())) for batch in made)

    assert len(shapes(0, 0)) == batches(data, batch_tokens=150).steps_per_epoch
    assert all(shapes(seed, epoch) == shapes(0, 0) for seed, epoch in ((0, 1), (0, 9), (3, 0), (4, 2)))


def test_the_order_of_batches_and_of_equally_long_pairs_is_random(data: PairData) -> None:
    made = [list(batches(data, batch_size=4, seed=seed).epoch(epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    orders = [[tuple(batch.numbers.tolist()) for batch in each] for each in made]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert orders[first] != orders[second]
        assert {frozenset(each) for each in orders[first]} != {frozenset(each) for each in orders[second]}
    widths = [int(found_widths(data.train, batch).max()) for batch in made[0]]
    assert widths not in (sorted(widths), sorted(widths, reverse=True))


def test_another_process_has_the_same_data_and_batches(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path; from tests.data.pairs import made, test_batches as t\n"
        "data = made.load(Path(sys.argv[1])); print(data.fingerprint)\n"
        "print([b.numbers.tolist() for b in t.batches(data, seed=4, batch_tokens=128).epoch(2)])\n"
    )
    # With a cache of its own, and another order of what is hashed.
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = os.environ | {"PYTHONHASHSEED": other, "MINFORM_CACHE": str(tmp_path / "another cache")}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    data = load(tmp_path)
    numbers = [batch.numbers.tolist() for batch in batches(data, seed=4, batch_tokens=128).epoch(2)]
    assert done.stdout == f"{data.fingerprint}\n{numbers}\n"


def joined(parts: list[Batch]) -> Batch:
    """The whole batch, from what each of several processes has of it."""
    source, target, real = (
        None if parts[0].inputs[i] is None else torch.cat([part.inputs[i] for part in parts]) for i in range(3)
    )
    predict, first = None, 0
    if parts[0].inputs[3] is not None and any(len(part.numbers) for part in parts):
        several = []
        for part in parts:
            places = part.inputs[3]
            several.append(torch.arange(part.inputs[1].numel()) + first if places is None else places + first)
            first += part.inputs[1].numel()
        predict = torch.cat(several)
    labels, numbers = torch.cat([part.labels for part in parts]), torch.cat([part.numbers for part in parts])
    assert {part.size for part in parts} == {len(labels)}
    assert {part.num_examples for part in parts} == {len(numbers)}
    return Batch((source, target, real, predict), labels, 0, len(numbers), numbers)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_batches_are_the_same_however_many_share_them(data: PairData, way: dict[str, object], parts: int) -> None:
    several = [batches(data, Share(number, parts), **way) for number in range(parts)]
    for run in (lambda b: b.epoch(1, 2), lambda b: b.evaluation("val")):
        made = [joined(list(each)) for each in zip(*(run(one) for one in several), strict=True)]
        assert same(made, run(batches(data, **way)))


def test_shares_of_a_batch_that_is_too_small_are_empty_in_training_and_left_out_of_evaluation(data: PairData) -> None:
    first = Share(0, 7)  # of a batch of 3 pairs, the first of seven has none
    whole = list(batches(data, eval_batch_size=40).evaluation("val"))
    assert [batch.num_examples for batch in whole] == [40, 3]
    assert len(list(batches(data, first, eval_batch_size=40).evaluation("val"))) == 1
    for batch, part in zip(
        batches(data, batch_size=3).epoch(0), batches(data, first, batch_size=3).epoch(0), strict=True
    ):
        source, target, real, predict = part.inputs
        assert len(part.labels) == len(part.numbers) == len(source) == len(target) == len(predict) == 0
        assert (part.size, part.num_examples) == (batch.size, batch.num_examples)
        assert (source.shape[1], real is None) == (batch.inputs[0].shape[1], batch.inputs[2] is None)


@pytest.mark.gpu
def test_batches_on_the_gpu_equal_those_on_the_cpu(data: PairData) -> None:
    on_gpu = [
        batch._replace(inputs=tuple(None if x is None else x.cpu() for x in batch.inputs), labels=batch.labels.cpu())
        for batch in batches(data, device=torch.device("cuda"), batch_tokens=128).epoch(2)
    ]
    assert same(on_gpu, batches(data, batch_tokens=128).epoch(2))
