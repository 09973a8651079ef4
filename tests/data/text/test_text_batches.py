"""Batches of text: what is hidden and how often, the same for every share and device, and none lost on resuming."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from minform_cli.data.batch import WHOLE, Batch, Share
from minform_cli.data.text.corpora import TextData
from minform_cli.data.text.text_batches import TextBatches
from minform_cli.errors import InputError
from tests.data.text.prose import load, prose, run_config, written

CPU = torch.device("cpu")
CLS, SEP, MASK = 2, 3, 4


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TextData:
    folder = tmp_path_factory.mktemp("text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINFORM_CACHE", str(folder / "cache"))
        return load(path=written(folder / "a.txt", prose(120)), test_path=written(folder / "t.txt", prose(12, seed=1)))


def batches(text: TextData, share: Share = WHOLE, device: torch.device = CPU, **settings) -> TextBatches:
    return TextBatches(text, run_config(**settings), device, share)


def equal(first: Batch, second: Batch) -> bool:
    pairs = [*zip(first.inputs, second.inputs, strict=True), (first.labels, second.labels)]
    pairs.append((first.owners, second.owners))
    same = all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)
    numbers = ((each.elsewhere, each.examples, each.numbers, each.second) for each in (first, second))
    return same and next(numbers) == next(numbers)


def same(first, second) -> bool:
    first, second = list(first), list(second)
    return len(first) == len(second) and all(equal(a, b) for a, b in zip(first, second, strict=True))


def unhidden(batch: Batch) -> Tensor:
    """The tokens with the labels put back where they were taken from."""
    tokens, types, real, predict = batch.inputs
    assert tokens is not None
    assert predict is not None
    assert types is None
    assert real is None
    return tokens.flatten().scatter(0, predict, batch.labels).view(tokens.shape)


def test_an_epoch_hides_tokens_of_every_sequence_once(text: TextData) -> None:
    made = list(batches(text).epoch(0))
    assert len(made) == batches(text).steps_per_epoch == math.ceil(len(text.train) / 16)
    sizes = [len(unhidden(batch)) for batch in made]
    assert sizes == [16] * (len(made) - 1) + [len(text.train) - 16 * (len(made) - 1)]
    assert [batch.num_examples for batch in made] == sizes
    whole = torch.cat([unhidden(batch) for batch in made])
    assert whole.shape == (len(text.train), 12)
    assert (whole[:, 0] == CLS).all()
    assert (whole[:, -1] == SEP).all()
    expected = text.train.take(np.arange(len(text.train)))
    assert sorted(whole[:, 1:-1].tolist()) == sorted(expected.tolist())
    assert not np.array_equal(whole[:, 1:-1].numpy(), expected), "shuffled"


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.5])
def test_the_share_of_hidden_tokens_and_what_is_shown_for_them(tmp_path: Path, rate: float) -> None:
    text = load(path=written(tmp_path / "a.txt", prose(1500)), seq_len=130)
    made = list(batches(text, mask_rate=rate, seq_len=130).epoch(0))
    candidates = sum(int((unhidden(b)[:, 1:-1] != SEP).sum()) for b in made)
    shown = torch.cat([b.inputs[0].flatten()[b.inputs[3]] for b in made])
    labels = torch.cat([b.labels for b in made])

    def within(found: int, num: int, share: float) -> bool:
        # Five standard deviations of a binomial: less than one in a million random texts lies outside.
        return abs(found - num * share) <= 5 * math.sqrt(num * share * (1 - share))

    assert within(len(labels), candidates, rate), "the one hidden in any case is one of the others at this length"
    num, ordinary = len(labels), len(text.ordinary)
    assert within(int((shown == MASK).sum()), num, 0.8)
    assert within(int((shown == labels).sum()), num, 0.1 + 0.1 / ordinary)
    others = shown[(shown != MASK) & (shown != labels)]
    assert within(len(others), num, 0.1 * (1 - 1 / ordinary))
    counts = torch.bincount(others, minlength=120)
    assert (counts[:5] == 0).all(), "no special entry"
    assert all(within(int(c), num, 0.1 * (1 - 1 / ordinary) / ordinary) for c in counts[text.ordinary])


def test_neither_separators_nor_the_frame_are_hidden_and_the_rest_is_shown_as_it_is(text: TextData) -> None:
    for batch in batches(text, mask_rate=0.9).epoch(0):
        tokens, _, _, predict = batch.inputs
        assert tokens is not None
        assert predict is not None
        assert (batch.labels > MASK).all()
        assert (predict.diff() > 0).all(), "each place once, in order"
        assert ((predict % 12 > 0) & (predict % 12 < 11)).all()
        assert batch.labels.dtype == predict.dtype == tokens.dtype == torch.int64
        assert batch.size == len(batch.labels)


def test_every_sequence_has_something_to_predict(text: TextData) -> None:
    for batch in batches(text, mask_rate=1e-6).epoch(0):
        tokens, _, _, predict = batch.inputs
        assert tokens is not None
        assert predict is not None
        assert (predict // 12).tolist() == list(range(len(tokens))), "exactly one"
        assert len(set((predict % 12).tolist())) > 1, "not always the same place"


@pytest.mark.parametrize("task", ["masked-tokens", "next-tokens"])
@pytest.mark.parametrize("parts", [2, 3, 20])
def test_shares_are_parts_of_the_same_batch(text: TextData, task: str, parts: int) -> None:
    for run in (lambda b: b.epoch(1), lambda b: b.evaluation("test")):
        shares = [run(batches(text, Share(number, parts), task=task)) for number in range(parts)]
        whole = list(run(batches(text, task=task)))
        for batch in whole:
            # A share without a sequence of a batch has an empty part of it in training, and none in evaluation.
            places = [Share(number, parts).of(torch.arange(batch.num_examples)) for number in range(parts)]
            trains = len(whole) == batches(text, task=task).steps_per_epoch
            mine = [next(share) for share, p in zip(shares, places, strict=True) if trains or p.start < p.stop]
            assert torch.equal(torch.cat([part.inputs[0] for part in mine]), batch.inputs[0])
            assert torch.equal(torch.cat([part.labels for part in mine]), batch.labels)
            assert all(part.size == batch.size for part in mine)
            assert all(len(part.labels) > 0 for part in mine if len(part.inputs[0]))
            if task == "masked-tokens":
                firsts = np.cumsum([0] + [len(part.inputs[0]) * 12 for part in mine[:-1]]).tolist()
                predicted = torch.cat([p.inputs[3] + first for p, first in zip(mine, firsts, strict=True)])
                assert torch.equal(predicted, batch.inputs[3])
        assert [len(list(share)) for share in shares] == [0] * parts


@pytest.mark.parametrize("task", ["masked-tokens", "next-tokens"])
@pytest.mark.parametrize("start", [0, 1, 5, 30])
def test_starting_at_k_equals_skipping_k(text: TextData, task: str, start: int) -> None:
    whole = batches(text, task=task).epoch(3)
    assert same(batches(text, task=task).epoch(3, start), islice(whole, start, None))
    share = Share(1, 2)
    assert same(
        batches(text, share, task=task).epoch(3, start), islice(batches(text, share, task=task).epoch(3), start, None)
    )


def test_order_and_masks_depend_on_seed_and_epoch_and_nothing_else(text: TextData) -> None:
    one = batches(text)
    first = list(one.epoch(0))
    torch.rand(1)
    list(one.evaluation("val"))
    assert same(first, one.epoch(0))
    before = torch.random.get_rng_state()
    assert same(first, batches(text).epoch(0))
    assert torch.equal(before, torch.random.get_rng_state()), "the global random state is not moved"
    assert not same(first, one.epoch(1))
    assert not same(first, batches(text, seed=1).epoch(0))
    orders = [list(batches(text, task="next-tokens", seed=s).epoch(e)) for s, e in [(0, 0), (0, 1), (1, 0)]]
    assert not any(same(orders[a], orders[b]) for a, b in [(0, 1), (0, 2), (1, 2)])
    masks = {
        tuple((b.inputs[3]).tolist())
        for s, e in [(0, 0), (0, 1), (1, 0), (1, 1)]
        for b in batches(text, seed=s).epoch(e)
    }
    assert len(masks) == 4 * one.steps_per_epoch, "no two batches hide the same places"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_evaluation_hides_the_same_for_every_seed_epoch_and_batch_size(text: TextData, split: str) -> None:
    one = batches(text)
    first = list(one.evaluation(split))
    list(one.epoch(0))
    assert same(first, one.evaluation(split))
    assert same(first, batches(text, seed=7).evaluation(split))
    config = run_config()
    for size in (1, 3, 64, 1000):
        other = config.model_copy(update={"train": config.train.model_copy(update={"eval_batch_size": size})})
        made = list(TextBatches(text, other, CPU, WHOLE).evaluation(split))
        for entry in (lambda b: b.inputs[0], lambda b: b.labels, lambda b: b.owners):
            assert torch.equal(torch.cat([entry(b) for b in made]), torch.cat([entry(b) for b in first]))
    sequences = getattr(text, split)
    expected = sequences.take(np.arange(len(sequences)))
    assert np.array_equal(torch.cat([unhidden(b) for b in first])[:, 1:-1].numpy(), expected), "in its own order"
    assert [b.num_examples for b in first] == [10] * (len(expected) // 10) + [len(expected) % 10] * (
        len(expected) % 10 > 0
    )


def test_next_tokens_are_those_that_follow(text: TextData) -> None:
    made = list(batches(text, task="next-tokens").epoch(0))
    assert len(made) == batches(text, task="next-tokens").steps_per_epoch
    for batch in made:
        (tokens,) = batch.inputs
        assert tokens is not None
        labels = batch.labels.view(-1, 11)
        assert tokens.shape == labels.shape == (batch.num_examples, 11)
        assert (tokens[:, 0] == CLS).all()
        assert torch.equal(tokens[:, 1:], labels[:, :-1])
        assert (labels[:, -1] == SEP).all()
        assert batch.size == tokens.numel()
    found = sorted(torch.cat([batch.inputs[0] for batch in made])[:, 1:].tolist())
    assert found == sorted(text.train.take(np.arange(len(text.train))).tolist())
    val = torch.cat([batch.inputs[0] for batch in batches(text, task="next-tokens").evaluation("val")])
    assert np.array_equal(val[:, 1:].numpy(), text.val.take(np.arange(len(text.val))))


def test_a_split_that_is_not_there_is_refused(tmp_path: Path, refused) -> None:
    text = load(path=written(tmp_path / "a.txt", prose(9)))
    message = refused(InputError, list, batches(text).evaluation("test"))
    assert message == "a has no test split beside its validation split"


@pytest.mark.gpu
@pytest.mark.parametrize("task", ["masked-tokens", "next-tokens"])
def test_batches_are_the_same_on_a_gpu(text: TextData, task: str) -> None:
    device = torch.device("cuda")
    for cpu, gpu in zip(
        batches(text, task=task).epoch(0), batches(text, device=device, task=task).epoch(0), strict=True
    ):
        assert gpu.labels.device.type == "cuda"
        back = Batch(tuple(None if i is None else i.cpu() for i in gpu.inputs), gpu.labels.cpu(), *gpu[2:])
        assert equal(cpu, back)
