"""A batch in parts: the gradients, losses and hits of the whole, dropout of its own, and resume to the bit."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minform_cli.config.presets import resolve
from minform_cli.config.schema import RunConfig
from minform_cli.data.batch import Batch
from minform_cli.data.batches import make_batches
from minform_cli.errors import InputError
from minform_cli.models.build import build_model
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_start
from minform_cli.training.accumulate import parts_of
from minform_cli.training.prepare import prepare
from minform_cli.training.run import train
from minform_cli.training.step import Stepper
from minform_cli.training.teacher import objective, taught_by
from tests.training.conftest import SETTINGS, bits, resumed, tiny
from tests.training.test_parallel import finish, weights
from tests.training.test_step import make, refused
from tests.training.test_text import corpus, text_run
from tests.training.test_translation import run as pairs_run

FOUR = "train.accumulate=4"
STILL = "model.dropout=0"
CPU = torch.device("cpu")
ROUNDING = 2e-6
"""Of the largest number of a gradient: what float32 sums in another order may differ by (2^-24 a term, a few terms)."""


def images(_: Path, *more: str) -> RunConfig:
    return tiny(STILL, *more)


def masked(folder: Path, *more: str) -> RunConfig:
    return text_run(corpus(folder), STILL, *more)


def following(folder: Path, *more: str) -> RunConfig:
    return text_run(corpus(folder), STILL, *more, task="next-tokens")


def translated(folder: Path, *more: str) -> RunConfig:
    return pairs_run(folder, STILL, *more)


def taught(folder: Path, *more: str) -> RunConfig:
    if not (folder / "teacher").exists():
        train(tiny("train.steps=2"), folder / "teacher", threads=1)
    given = (*SETTINGS, STILL, "distill.labels=1", *more)
    return resolve("debug", "no-mlp", given, teacher=read_start(folder / "teacher")).config


def gradients(config: RunConfig, number: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int, list[Tensor]]]:
    """Loss, hits and gradients of the first batches, each by the first weights."""
    prepared = prepare(config)
    data = prepared.load()
    torch.manual_seed(0)
    model = build_model(config, data.spec)
    follows = objective(config, data.spec, model, taught_by(config, data, None, labelled=True), labelled=True)
    batches = make_batches(data, config, CPU)
    stepper = Stepper(model, config, data.spec, batches.steps_per_epoch, objective=follows)
    monkeypatch.setattr(stepper.optimizer, "step", lambda: None)
    monkeypatch.setattr(stepper.optimizer, "zero_grad", lambda: None)
    found: list[tuple[float, int, list[Tensor]]] = []
    for step, batch in enumerate(islice(batches.epoch(0), number)):
        taken = stepper.take(step, batch)
        found.append((*taken, [p.grad for p in model.parameters() if p.grad is not None]))
        for p in model.parameters():
            p.grad = None
    return found


@pytest.mark.parametrize("kind", [images, masked, following, translated, taught])
def test_the_parts_of_a_batch_have_its_loss_hits_and_gradients(
    kind: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = (gradients(kind(tmp_path, *more), 5, monkeypatch) for more in ((FOUR,), ()))
    for (loss, hits, grads), (whole_loss, whole_hits, whole) in zip(ours, theirs, strict=True):
        assert loss == pytest.approx(whole_loss, rel=1e-6)
        assert hits == whole_hits
        largest = max(float(grad.abs().max()) for grad in whole)
        for mine, all_of_it in zip(grads, whole, strict=True):
            torch.testing.assert_close(mine, all_of_it, rtol=0, atol=ROUNDING * largest)


def test_a_part_without_a_label_and_more_parts_than_examples_change_nothing() -> None:
    tokens = torch.arange(12).view(3, 4)
    places = torch.tensor([1, 2, 9])  # of the first example and the last
    batch = Batch((tokens, None, None, places), torch.tensor([5, 6, 7]), 2, 4, torch.arange(3))
    parts = parts_of(batch, 7)
    assert [part.labels.tolist() for part in parts] == [[5, 6], [7]]
    assert [part.inputs[3].tolist() for part in parts if part.inputs[3] is not None] == [[1, 2], [1]]
    assert [(part.size, part.num_examples) for part in parts] == [(5, 4)] * 2
    assert [part.numbers.tolist() for part in parts if part.numbers is not None] == [[0], [2]]
    assert parts_of(batch, 1) == parts_of(batch, None) == [batch]


def test_no_more_of_a_batch_goes_through_the_model_at_once_than_a_part() -> None:
    stepper, batch = make(FOUR)
    seen: list[int] = []
    stepper.model.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    stepper.take(0, batch)
    assert seen == [2, 2, 2, 2]


def test_parts_differ_in_dropout_and_depend_on_seed_step_and_part_alone() -> None:
    def loss(noise: int) -> float:
        stepper, batch = make("model.dropout=0.5", "train.accumulate=2")
        twice = Batch((batch.inputs[0][:1].repeat(2, 1, 1, 1),), batch.labels[:1].repeat(2))  # type: ignore[index]
        alone = make("model.dropout=0.5")[0].take(3, Batch((twice.inputs[0][:1],), twice.labels[:1]))[0]  # type: ignore[index]
        torch.manual_seed(noise)
        together = stepper.take(3, twice)[0]
        assert together != alone  # the mean of the first part's loss and another one
        return together

    assert loss(0) == loss(99)


def test_a_bad_pixel_of_any_part_stops_before_any_weight_changes() -> None:
    for place in (0, 300, 511):
        stepper, batch = make(FOUR)
        batch.inputs[0].view(-1)[place] = float("nan")  # type: ignore[union-attr]
        refused(stepper, batch, "input image")


def test_a_stopped_run_goes_on_to_the_same_bits_and_says_its_parts(tmp_path: Path) -> None:
    train(tiny(FOUR), tmp_path / "whole", threads=1)
    out = resumed(tmp_path / "stopped", 8, FOUR)
    assert bits(out) == bits(tmp_path / "whole")
    assert read_result(out)["environment"]["accumulate"] == "4"


def test_one_part_is_no_setting_and_none_is_refused() -> None:
    assert tiny("train.accumulate=1").identity() == tiny().identity() != tiny(FOUR).identity()
    with pytest.raises(InputError, match=r"train.accumulate: .*greater than or equal to 1"):
        tiny("train.accumulate=0")


def test_two_processes_compute_what_one_does_on_the_whole_batch(tmp_path: Path) -> None:
    settings = (STILL, "data.limit=101")  # the last batch has one example: one process has a blank part
    train(tiny(*settings), tmp_path / "one", device="cpu", threads=1)
    finish(tmp_path / "two", *settings, "train.accumulate=3")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, tensor in one.items():  # as of processes without parts
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)
