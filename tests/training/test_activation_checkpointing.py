"""Blocks computed again in the backward pass: the same bits, fewer tensors kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minform_cli.config.presets import resolve
from minform_cli.config.schema import RunConfig
from minform_cli.data.batches import make_batches
from minform_cli.models.build import build_model
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_start
from minform_cli.training.prepare import prepare
from minform_cli.training.run import train
from minform_cli.training.step import Stepper
from minform_cli.training.teacher import objective, taught_by
from tests.training.conftest import SETTINGS, bits, resumed, tiny
from tests.training.test_text import corpus, text_run
from tests.training.test_translation import run as pairs_run

AGAIN = "train.activation_checkpointing=true"


def trained(config: RunConfig) -> tuple[dict[str, Tensor], int]:
    """Weights after three steps, dropout on, and how many tensors the first forward passes kept for the backward."""
    prepared = prepare(config)
    data = prepared.load()
    torch.manual_seed(0)
    model = build_model(config, data.spec).train()
    follows = objective(config, data.spec, model, taught_by(config, data, None, labelled=True), labelled=True)
    batches = make_batches(data, config, torch.device("cpu"))
    stepper = Stepper(model, config, data.spec, batches.steps_per_epoch, objective=follows)
    kept: list[int] = []

    def count(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        for step, batch in zip(range(3), batches.epoch(0), strict=False):
            stepper.take(step, batch)
    return {name: p.detach() for name, p in model.named_parameters()}, sum(kept)


def images(_: Path, *more: str, variant: str = "baseline") -> RunConfig:
    return tiny("model.depth=3", *more, variant=variant)


def shared(folder: Path, *more: str) -> RunConfig:
    return images(folder, *more, variant="shared-depth")


def adapted(folder: Path, *more: str) -> RunConfig:
    return images(folder, *more, variant="shared-depth-lora")


def masked(folder: Path, *more: str) -> RunConfig:
    return text_run(corpus(folder), "model.depth=2", *more)


def translated(folder: Path, *more: str) -> RunConfig:
    return pairs_run(folder, "model.dropout=0.1", "model.depth=2", "model.decoder_depth=2", *more)


def taught(folder: Path, *more: str) -> RunConfig:
    if not (folder / "teacher").exists():
        train(tiny("train.steps=2"), folder / "teacher", threads=1)
    given = (*SETTINGS, "distill.labels=1", *more)
    return resolve("debug", "no-mlp", given, teacher=read_start(folder / "teacher")).config


@pytest.mark.parametrize("more", [(), ("train.precision=bf16",), ("train.accumulate=2",)])
@pytest.mark.parametrize("kind", [images, shared, adapted, masked, translated, taught])
def test_weights_are_equal_to_the_bit_and_fewer_tensors_are_kept(
    kind: Callable[..., RunConfig], more: tuple[str, ...], tmp_path: Path
) -> None:
    plain, kept = trained(kind(tmp_path, *more))
    again, kept_again = trained(kind(tmp_path, AGAIN, *more))
    assert all(torch.equal(again[name], tensor) for name, tensor in plain.items())
    assert kept_again < 0.7 * kept


def test_a_stopped_run_goes_on_to_the_bits_of_one_that_keeps_all(tmp_path: Path, undisturbed: Path) -> None:
    out = resumed(tmp_path / "run", 8, AGAIN)
    assert bits(out) == bits(undisturbed)
    assert read_result(out)["environment"]["activation_checkpointing"] == "true"


def test_it_is_part_of_a_run_only_where_it_is_on() -> None:
    assert tiny("train.activation_checkpointing=false").identity() == tiny().identity() != tiny(AGAIN).identity()
