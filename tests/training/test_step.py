"""One step: what it refuses, what it clips, and that nothing in it is random but by (seed, step)."""

import math
import re
from typing import Any

import pytest
import torch
from torch import nn

from minform_cli.data.batch import Batch
from minform_cli.data.spec import spec_for
from minform_cli.errors import NumericalError
from minform_cli.models.build import build_model
from minform_cli.training.step import Stepper
from tests.training.conftest import tiny

BAD = [float("nan"), float("inf"), float("-inf")]
NUM_PARAMETERS = len(list(build_model(tiny(), spec_for(tiny())).parameters()))


def make(*settings: str) -> tuple[Stepper, Batch]:
    config = tiny(*settings)
    torch.manual_seed(0)
    stepper = Stepper(build_model(config, spec_for(config)), config, spec_for(config), steps_per_epoch=5)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(8, 1, 8, 8, generator=generator)
    return stepper, Batch((images,), torch.randint(0, 10, (8,), generator=generator))


def weights(stepper: Stepper) -> list[torch.Tensor]:
    return [p.detach().clone() for p in stepper.model.parameters()]


def refused(stepper: Stepper, batch: Batch, what: str) -> None:
    """Taking step 3 fails, says what, where and at which learning rate, in one line, and no weight has changed."""
    before = weights(stepper)
    rate = f"{stepper.learning_rate(3):.3g}"
    message = rf"^{re.escape(what)} is not finite at step 4 of 15, learning rate {re.escape(rate)}; .*$"
    with pytest.raises(NumericalError, match=message) as caught:
        stepper.take(3, batch)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(stepper), strict=True))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", range(10))
def test_a_bad_pixel_stops_before_any_weight_changes(bad: float, place: int) -> None:
    stepper, batch = make()
    batch.inputs[0].view(-1)[place * 51] = bad
    refused(stepper, batch, "input image")


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", range(NUM_PARAMETERS))
def test_a_bad_weight_is_named(bad: float, place: int) -> None:
    stepper, batch = make()
    name, parameter = list(stepper.model.named_parameters())[place]
    with torch.no_grad():
        parameter.view(-1)[0] = bad
    with pytest.raises(NumericalError, match=re.escape(f"weight {name} is not finite at step 4")):
        stepper.check_weights(3)
    try:
        stepper.take(3, batch)
    except NumericalError as error:
        assert f"weight {name}" in str(error)
    else:  # softmax can hide an infinite weight from the loss; the check above keeps it out of every checkpoint
        assert bad == -math.inf or bad == math.inf


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", range(NUM_PARAMETERS))
def test_a_bad_gradient_is_named_and_stops_before_the_optimiser(bad: float, place: int) -> None:
    stepper, batch = make()
    name, parameter = list(stepper.model.named_parameters())[place]
    parameter.register_hook(lambda gradient: gradient.flatten().index_fill(0, torch.tensor(0), bad).view_as(gradient))
    refused(stepper, batch, f"gradient of {name}")


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_loss_stops(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    stepper, batch = make()
    loss = stepper.objective.loss

    def spoiled(*given: Any) -> tuple[torch.Tensor, torch.Tensor]:
        outputs, found = loss(*given)
        return outputs, found * bad

    monkeypatch.setattr(stepper.objective, "loss", spoiled)
    refused(stepper, batch, "loss")


def test_gradients_whose_norm_overflows_stop_too() -> None:
    stepper, batch = make()
    for parameter in stepper.model.parameters():
        parameter.register_hook(lambda gradient: torch.full_like(gradient, 1e30))
    refused(stepper, batch, "total norm of the gradients")


def test_clipping_cuts_the_total_norm_to_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    stepper, batch = make("train.clip_norm=0.01")
    step = stepper.optimizer.step

    def spy() -> None:
        gradients = [p.grad for p in stepper.model.parameters() if p.grad is not None]
        seen.append(nn.utils.get_total_norm(gradients).item())
        step()

    monkeypatch.setattr(stepper.optimizer, "step", spy)
    stepper.take(0, batch)
    assert seen == [pytest.approx(0.01, rel=1e-3)]  # torch divides by norm + 1e-6


def test_dropout_depends_on_seed_and_step_alone() -> None:
    def loss(step: int, noise: int, *settings: str) -> float:
        stepper, batch = make("model.dropout=0.5", *settings)
        torch.manual_seed(noise)
        return stepper.take(step, batch)[0]

    assert loss(3, noise=0) == loss(3, noise=99)
    assert loss(3, noise=0) != loss(4, noise=0)


def test_the_returned_numbers_are_the_batch_mean_loss_and_hits_before_the_step() -> None:
    stepper, batch = make("model.dropout=0.0")
    logits = stepper.model(batch.inputs[0])
    expected = nn.functional.cross_entropy(logits, batch.labels).item()
    assert stepper.take(0, batch) == (expected, int((logits.argmax(-1) == batch.labels).sum()))
