"""Batches of sentence pairs: what stands in them, and how much is filling."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from minform_cli.config.schema import DataConfig, ModelConfig
from minform_cli.data.batches import make_batches
from minform_cli.data.load import load_data
from minform_cli.data.pairs.pair_batches import PairBatches
from minform_cli.data.pairs.pair_data import PairData, PairSplit
from minform_cli.data.text.ragged import ragged
from minform_cli.data.text.tokenizer import from_json
from minform_cli.errors import InputError
from minform_cli.models.build import build_model
from minform_cli.models.stack import EncoderDecoder
from minform_cli.tasks import TASKS
from tests.data.pairs.checks import (
    CPU,
    WAYS,
    batches,
    expected,
    found,
    found_widths,
    size,
    with_training,
)
from tests.data.pairs.made import content, load, run_config, sentences, translated
from tests.data.text.prose import load as load_text
from tests.data.text.prose import prose, written
from tests.zoo import SIZES


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_an_epoch_has_every_pair_once(data: PairData, way: dict[str, object], epoch: int) -> None:
    made = list(batches(data, **way).epoch(epoch))
    assert len(made) == batches(data, **way).steps_per_epoch
    for batch in made:
        assert found(batch) == expected(data.train, batch.numbers)
        assert (batch.elsewhere, batch.size, batch.num_examples) == (0, len(batch.labels), len(batch.numbers))
    assert sorted(torch.cat([batch.numbers for batch in made]).tolist()) == list(range(len(data.train)))
    assert sum(batch.size for batch in made) == len(data.train.target.tokens) + len(data.train)


def test_labels_decoded_are_the_translations_as_they_stand_in_the_file(data: PairData) -> None:
    tokenizer = from_json(data.tokenizer, "").tokenizer
    for name in ("val", "test"):
        for batch in batches(data).evaluation(name):
            decoded = tokenizer.decode_batch([labels for _, labels in found(batch)])
            assert decoded == [getattr(data, name).references[number] for number in batch.numbers.tolist()]


def test_a_label_does_not_depend_on_the_sentence_that_is_translated(data: PairData) -> None:
    part = data.train
    other = PairSplit(ragged(part.source.tokens[::-1].copy(), part.source.lengths), part.target, ())
    for one, two in zip(batches(data).epoch(0), batches(with_training(data, other)).epoch(0), strict=True):
        assert torch.equal(one.labels, two.labels)
        assert torch.equal(one.inputs[1], two.inputs[1])
        assert not torch.equal(one.inputs[0], two.inputs[0])


@pytest.mark.parametrize("most", [64, 128, 500, 10**9])
def test_no_batch_is_over_batch_tokens_and_each_is_as_full_as_can_be(data: PairData, most: int) -> None:
    made = list(batches(data, batch_tokens=most).epoch(0))
    assert all(size(batch) <= most for batch in made)
    filled: list[list[int]] = [[]]
    for width in np.sort(np.maximum(data.train.source.lengths, data.train.target.lengths) + 1).tolist():
        if width * (len(filled[-1]) + 1) > most:
            filled.append([])
        filled[-1].append(width)
    assert sorted(np.sort(found_widths(data.train, batch)).tolist() for batch in made) == sorted(filled)


@pytest.mark.parametrize("size_", [1, 7, 16, 199, 200, 1000])
def test_without_batch_tokens_a_batch_has_batch_size_pairs(data: PairData, size_: int) -> None:
    one = batches(data, batch_size=size_)
    made = list(one.epoch(0))
    assert len(made) == one.steps_per_epoch == math.ceil(200 / size_)
    sizes = sorted(batch.num_examples for batch in made)
    assert sizes == sorted([size_] * (200 // size_) + [200 % size_] * (200 % size_ > 0))


def test_pairs_of_one_length_are_together(data: PairData) -> None:
    limits = sorted(
        (int(widths.min()), int(widths.max()))
        for widths in (found_widths(data.train, batch) for batch in batches(data, batch_size=8).epoch(0))
    )
    assert all(first[1] <= second[0] for first, second in pairwise(limits))


def test_nothing_is_masked_where_nothing_is_filled_up(data: PairData) -> None:
    masks = set()
    for batch in batches(data, batch_size=2).epoch(0):
        source, target, real, predict = batch.inputs
        rows = found(batch)
        assert source.shape[1] == max(len(s) for s, _ in rows) + 1, "no wider than its longest"
        assert target.shape[1] == max(len(t) for _, t in rows) + 1
        assert (real is None) == (len({len(s) for s, _ in rows}) == 1)
        assert (predict is None) == (len({len(t) for _, t in rows}) == 1)
        masks.add((real is None, predict is None))
    assert len(masks) == 4


def test_a_pair_that_is_longer_than_a_batch_is_refused(data: PairData, refused) -> None:
    longest = int(max(data.train.source.lengths.max(), data.train.target.lengths.max())) + 1
    message = refused(InputError, batches, data, batch_tokens=longest - 1)
    assert message == (
        f"train.batch_tokens: {longest - 1} is less than the {longest} tokens, special ones included, of the longest "
        f"sentence of sentence pairs; accepted: {longest} or more"
    )
    made = list(batches(data, batch_tokens=longest).epoch(0))
    assert max(size(batch) for batch in made) == longest


def test_batch_tokens_is_refused_for_other_data(tmp_path: Path, data: PairData, refused) -> None:
    config = run_config(batch_tokens=100)
    assert isinstance(make_batches(data, config, CPU), PairBatches)
    others = (load_data(DataConfig(name="digits")), load_text(path=written(tmp_path / "words", prose(30))))
    for other, title in zip(others, ("digits", "words"), strict=True):
        message = refused(InputError, make_batches, other, config, CPU)
        assert message.startswith(f"train.batch_tokens: is for sentence pairs, and {title} has none; accepted: ")


def test_a_sentence_without_a_token_is_its_end_alone(data: PairData) -> None:
    def side(*lengths: int) -> object:
        return ragged(np.arange(10, 10 + sum(lengths), dtype=np.int32), np.array(lengths))

    for lengths in ((2, 0), (0, 2), (0, 0)):
        part = PairSplit(side(*lengths), side(*lengths[::-1]), ())  # type: ignore[arg-type]
        (batch,) = batches(with_training(data, part)).epoch(0)
        assert found(batch) == expected(part, batch.numbers)


# Real pairs


def model_for(data: PairData) -> EncoderDecoder:
    fields = SIZES | {"decoder_depth": 2, "embedding": "tokens", "position": "sinusoidal", "readout": "tokens"}
    config = run_config().model_copy(update={"model": ModelConfig.model_validate(fields)})
    torch.manual_seed(0)
    model = build_model(config, data.spec).double().eval()
    assert isinstance(model, EncoderDecoder)
    return model


def test_the_loss_of_a_batch_is_that_of_its_pairs_one_by_one(data: PairData) -> None:
    model, task = model_for(data), TASKS.get("translate")
    alone = {int(batch.numbers): batch for batch in batches(data, eval_batch_size=1).evaluation("train")}
    filled = 0
    for batch in list(batches(data, eval_batch_size=30).evaluation("train")):
        together = task.loss(model(*batch.inputs), batch.labels, 0.1) * len(batch.labels)
        single = sum(
            task.loss(model(*one.inputs), one.labels, 0.1) * len(one.labels)
            for one in (alone[number] for number in batch.numbers.tolist())
        )
        # Float64: sums of some hundred losses of about 10, in another order.
        assert together.item() == pytest.approx(single.item(), rel=1e-12)
        filled += batch.inputs[2] is not None and batch.inputs[3] is not None
    assert filled > 5


@pytest.mark.real_data
@pytest.mark.usefixtures("real_data")
def test_little_of_multi30k_is_filling() -> None:
    data = load_data(DataConfig(name="multi30k", tokenizer="byte-bpe", vocab_size=4000, seq_len=100))
    assert isinstance(data, PairData)
    one = batches(data, batch_tokens=2048)
    made = list(one.epoch(0))
    assert len(made) == one.steps_per_epoch
    assert sorted(torch.cat([batch.numbers for batch in made]).tolist()) == list(range(29_000))
    assert max(size(batch) for batch in made) <= 2048
    places = sum(batch.inputs[0].numel() + batch.inputs[1].numel() for batch in made)
    real = sum(len(side.tokens) + 29_000 for side in (data.train.source, data.train.target))
    assert 1 - real / places < 0.08, "measured: 0.068; shuffled pairs would have 0.4"
    unsorted = np.random.RandomState(0).permutation(29_000)
    widths = [side.lengths[unsorted] + 1 for side in (data.train.source, data.train.target)]
    mixed = sum(64 * int(each[a : a + 64].max()) for each in widths for a in range(0, 29_000, 64))
    assert 1 - real / mixed > 0.3


def test_files_of_the_user_go_all_the_way(tmp_path: Path) -> None:
    source = sentences(40)
    made = load(
        tmp_path,
        source=written(tmp_path / "a", content(source)),
        target=written(tmp_path / "b", content(translated(source))),
    )
    for batch in make_batches(made, run_config(batch_tokens=200), CPU).epoch(0):
        assert found(batch) == expected(made.train, batch.numbers)
