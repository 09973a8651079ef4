"""Batches of sentences: filling up, types, order, resume, shares."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minform_cli.config.schema import DataConfig, RunConfig, TrainConfig
from minform_cli.data.batch import Batch, Share
from minform_cli.data.glue.sentence_batches import SentenceBatches
from minform_cli.data.glue.sentences import SentenceData
from minform_cli.data.sets import glue
from minform_cli.errors import InputError
from tests.data.glue.published import PAD, settings

CPU = torch.device("cpu")
NUM, SEQ_LEN = 53, 14


def config(data: DataConfig, seed: int = 0, batch_size: int = 8) -> RunConfig:
    return RunConfig(preset="p", seed=seed, data=data, train=TrainConfig(batch_size=batch_size, eval_batch_size=10))


def made(folder: Path, subset: str) -> tuple[SentenceData, RunConfig]:
    """`NUM` examples of many lengths, some of which are cut to `SEQ_LEN` tokens."""
    folder.mkdir()
    first = [" ".join(f"w{(i + j) % 40}" for j in range(i % 12 + 1)) for i in range(NUM)]
    second = [" ".join(f"w{(i * j) % 40}" for j in range(i % 5)) for i in range(NUM)]
    if subset == "sst2":
        lines = ["sentence\tlabel", *(f"{a}\t{i % 2}" for i, a in enumerate(first))]
    else:
        scores = [f"{a}\t{b}\t{i * 5 / NUM:.3f}" for i, (a, b) in enumerate(zip(first, second, strict=True))]
        lines = ["sentence1\tsentence2\tscore", *scores]
    for name in ("train.tsv", "dev.tsv"):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = settings(folder, subset, seq_len=SEQ_LEN)
    return glue.load(data, lambda _: None), config(data)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[SentenceData, RunConfig]:
    return made(tmp_path_factory.mktemp("single") / "files", "sst2")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[SentenceData, RunConfig]:
    return made(tmp_path_factory.mktemp("pairs") / "files", "stsb")


def same(first, second) -> bool:
    def equal(a: Tensor | None, b: Tensor | None) -> bool:
        return b is None if a is None else b is not None and a.dtype == b.dtype and torch.equal(a, b)

    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        equal(a.labels, b.labels) and all(map(equal, a.inputs, b.inputs)) and a.size == b.size
        for a, b in zip(first, second, strict=True)
    )


def rows(batch: Batch) -> list[tuple[list[int], list[int], float]]:
    """(tokens without filling, types of those, label) of each example; checks what stands in the filling."""
    tokens, types, real = batch.inputs
    assert tokens is not None
    found = []
    for row, label in enumerate(batch.labels.tolist()):
        seen = torch.ones(tokens.shape[1], dtype=torch.bool) if real is None else real[row]
        length = int(seen.sum())
        assert seen[:length].all(), "what is real stands first"
        assert (tokens[row, length:] == PAD).all()
        assert types is None or (types[row, length:] == 0).all()
        found.append((tokens[row, :length].tolist(), [] if types is None else types[row, :length].tolist(), label))
    return found


def expected(data: SentenceData) -> list[tuple[list[int], list[int], float]]:
    split, found = data.train, []
    for row in range(len(split)):
        start, end = split.offsets[row], split.offsets[row + 1]
        types = []
        if split.seconds is not None:
            second = int(split.seconds[row])
            types = [0] * second + [1] * (end - start - second)
        found.append((split.tokens[start:end].tolist(), types, split.labels[row].item()))
    return found


@pytest.mark.parametrize("kind", ["single", "pairs"])
def test_an_epoch_has_every_example_once_with_its_own_types_and_label(kind: str, request) -> None:
    data, run = request.getfixturevalue(kind)
    batches = list(SentenceBatches(data, run, CPU).epoch(0))
    assert len(batches) == SentenceBatches(data, run, CPU).steps_per_epoch == 7
    assert [batch.num_examples for batch in batches] == [8] * 6 + [5]
    found = [row for batch in batches for row in rows(batch)]
    assert sorted(found) == sorted(expected(data))
    assert found != expected(data)


@pytest.mark.parametrize("kind", ["single", "pairs"])
def test_evaluation_is_in_the_order_of_the_file(kind: str, request) -> None:
    data, run = request.getfixturevalue(kind)
    for split in ("train", "val"):
        batches = list(SentenceBatches(data, run, CPU).evaluation(split))
        assert [batch.num_examples for batch in batches] == [10] * 5 + [3]
        assert [row for batch in batches for row in rows(batch)] == expected(data)


def test_kinds_of_numbers_are_those_that_model_and_loss_take(single, pairs) -> None:
    batch = next(SentenceBatches(*single, CPU).epoch(0))
    tokens, types, real = batch.inputs
    assert types is None
    assert (tokens.dtype, real.dtype, batch.labels.dtype) == (torch.int64, torch.bool, torch.int64)
    batch = next(SentenceBatches(*pairs, CPU).epoch(0))
    assert (batch.inputs[1].dtype, batch.labels.dtype) == (torch.int64, torch.float32)


def test_a_batch_is_as_wide_as_its_longest_in_eights_and_never_wider_than_the_model(pairs) -> None:
    data, run = pairs
    batches = SentenceBatches(data, config(run.data, batch_size=1), CPU)
    widths = set()
    for batch in batches.epoch(0):
        tokens, _, real = batch.inputs
        length = tokens.shape[1] if real is None else int(real.sum())
        assert tokens.shape[1] == min(SEQ_LEN, -(-length // 8) * 8)
        assert (real is None) == (length == tokens.shape[1]), "no mask where nothing is filled up"
        widths.add((tokens.shape[1], real is None))
    assert widths == {(8, False), (8, True), (SEQ_LEN, False), (SEQ_LEN, True)}


@pytest.mark.parametrize("start", [0, 1, 4, 6, 7])
def test_starting_at_k_equals_skipping_k(pairs, start: int) -> None:
    whole = SentenceBatches(*pairs, CPU).epoch(3)
    assert same(SentenceBatches(*pairs, CPU).epoch(3, start), islice(whole, start, None))


def test_the_order_depends_on_seed_and_epoch_and_nothing_else(single) -> None:
    data, run = single
    one = SentenceBatches(data, run, CPU)
    first = list(one.epoch(0))
    state = torch.random.get_rng_state()
    list(one.evaluation("val"))
    assert same(first, one.epoch(0))
    assert torch.equal(state, torch.random.get_rng_state())
    assert not same(first, one.epoch(1))
    assert not same(first, SentenceBatches(data, config(run.data, seed=1), CPU).epoch(0))


def joined(parts: list[list[Batch]]) -> list[Batch]:
    """The whole batches, from what each of several processes has of them."""
    whole = []
    for several in zip(*parts, strict=True):
        inputs = [
            None if each[0] is None else torch.cat(each)
            for each in zip(*(b.inputs for b in several), strict=True)  # raises where one has a tensor and one None
        ]
        assert {batch.size for batch in several} == {sum(len(batch.labels) for batch in several)}
        whole.append(Batch(tuple(inputs), torch.cat([batch.labels for batch in several])))
    return whole


@pytest.mark.parametrize("kind", ["single", "pairs"])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_batches_are_the_same_however_many_share_them(kind: str, parts: int, request) -> None:
    data, run = request.getfixturevalue(kind)
    shares = [SentenceBatches(data, run, CPU, Share(number, parts)) for number in range(parts)]
    whole = SentenceBatches(data, run, CPU)
    assert same(joined([list(share.epoch(1, 2)) for share in shares]), whole.epoch(1, 2))
    assert same(joined([list(share.evaluation("val")) for share in shares]), whole.evaluation("val"))


def test_shares_of_a_batch_that_is_too_small_are_empty_in_training_and_left_out_of_evaluation(single) -> None:
    data, run = single  # the last batch of an epoch has 5 examples, that of an evaluation 3
    last = Share(0, 7)
    trained = list(SentenceBatches(data, run, CPU, last).epoch(0))
    assert (len(trained), len(trained[-1].labels), trained[-1].size) == (7, 0, 5)
    assert trained[-1].inputs[0].shape[0] == 0
    assert len(list(SentenceBatches(data, run, CPU, last).evaluation("val"))) == 5


def test_there_is_no_test_split(single, refused) -> None:
    message = refused(InputError, list, SentenceBatches(*single, CPU).evaluation("test"))
    assert "SST-2 (GLUE) has no test split: the labels of GLUE's are not published" in message


@pytest.mark.gpu
def test_batches_on_the_gpu_equal_those_on_the_cpu(pairs) -> None:
    on_gpu = [
        Batch(tuple(None if x is None else x.cpu() for x in batch.inputs), batch.labels.cpu())
        for batch in SentenceBatches(*pairs, torch.device("cuda")).epoch(2)
    ]
    assert same(on_gpu, SentenceBatches(*pairs, CPU).epoch(2))
