"""Learning rate, weight decay groups, and that the fused optimiser repeats to the bit."""

import math

import pytest
import torch

from minform_cli.config.schema import TrainConfig
from minform_cli.data.spec import spec_for
from minform_cli.models.build import build_model
from minform_cli.training.optim import decays, learning_rate, make_optimizer
from tests.training.conftest import tiny


def test_the_warm_up_rises_linearly_to_the_peak() -> None:
    train = TrainConfig(epochs=4, learning_rate=0.8, warmup_epochs=1, schedule="constant")
    rates = [learning_rate(step, 4, train) for step in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rel=1e-15)


def test_the_cosine_falls_from_the_peak_to_almost_zero_after_the_warm_up() -> None:
    train = TrainConfig(epochs=3, learning_rate=1.0, warmup_epochs=1)
    rates = [learning_rate(step, 4, train) for step in range(12)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == pytest.approx([(1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)], rel=1e-15)


def test_a_fraction_of_an_epoch_can_be_warm_up() -> None:
    train = TrainConfig(epochs=2, learning_rate=1.0, warmup_epochs=0.25, schedule="constant")
    assert [learning_rate(step, 10, train) for step in range(4)] == pytest.approx([0.4, 0.8, 1.0, 1.0])


def test_a_warm_up_as_long_as_the_training_is_all_there_is() -> None:
    train = TrainConfig(epochs=2, learning_rate=1.0, warmup_epochs=5)
    assert [learning_rate(step, 2, train) for step in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert ["the learning rate reaches 0.4, 40 % of train.learning_rate 1;" in note for note in train.notes()] == [True]
    assert not TrainConfig(epochs=2, warmup_epochs=2).notes()


def test_steps_stand_in_place_of_epochs_and_warm_up_steps_in_place_of_its_epochs() -> None:
    train = TrainConfig(epochs=99, steps=6, learning_rate=1.0, warmup_epochs=9, warmup_steps=2)
    rates = [learning_rate(step, 4, train) for step in range(6)]
    assert rates == pytest.approx([0.5, 1.0, *((1 + math.cos(math.pi * k / 4)) / 2 for k in range(4))], rel=1e-15)
    assert (train.num_steps(4), train.num_epochs(4), train.num_epochs(3), train.num_epochs(7)) == (6, 2, 2, 1)


def test_a_warm_up_longer_than_the_steps_is_told_once_an_epoch_is_known() -> None:
    assert "warm-up of 8 steps is longer than the training of 6" in TrainConfig(steps=6, warmup_steps=8).notes()[0]
    mixed = TrainConfig(steps=6, warmup_epochs=2)
    assert not mixed.notes() and not mixed.notes(3)
    assert "warm-up of 8 steps is longer than the training of 6" in mixed.notes(4)[0]


@pytest.mark.parametrize("variant", ["baseline", "minimal", "symmetric-cholesky", "symmetric-pairwise"])
def test_vectors_positions_and_the_class_token_never_decay(variant: str) -> None:
    config = tiny("model.bias=all", variant=variant)
    model = build_model(config, spec_for(config))
    for name, parameter in model.named_parameters():
        is_map = parameter.ndim >= 2 and "position" not in name and "class_token" not in name
        assert decays(name, parameter) == is_map, name
    names = dict(model.named_parameters())
    assert not any(decays(name, p) for name, p in names.items() if name.endswith("bias"))
    assert any(not decays(name, p) for name, p in names.items() if "position" in name and p.ndim == 2)


def test_every_parameter_is_in_one_group_and_the_second_does_not_decay() -> None:
    config = tiny("train.weight_decay=0.3")
    model = build_model(config, spec_for(config))
    decayed, undecayed = make_optimizer(model, config.train).param_groups
    assert (decayed["weight_decay"], undecayed["weight_decay"]) == (0.3, 0.0)
    grouped = [id(p) for p in decayed["params"] + undecayed["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize(("name", "cls"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_agrees_with_torchs_plain_one(name: str, cls: type[torch.optim.Optimizer]) -> None:
    train = TrainConfig(optimizer=name, learning_rate=0.01, weight_decay=0.1, beta2=0.95)  # type: ignore[arg-type]
    torch.manual_seed(0)
    ours = torch.nn.Linear(5, 3, bias=False)
    theirs = torch.nn.Linear(5, 3, bias=False)
    theirs.load_state_dict(ours.state_dict())
    reference = cls(theirs.parameters(), lr=0.01, weight_decay=0.1, betas=(0.9, 0.95), foreach=False)  # type: ignore[call-arg]
    optimizer = make_optimizer(ours, train)
    for step in range(20):
        gradient = torch.randn(3, 5, generator=torch.Generator().manual_seed(step))
        ours.weight.grad, theirs.weight.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        reference.step()
    # The fused kernel orders float32 operations otherwise: a few units in the last place of weights below 1.
    assert torch.allclose(ours.weight, theirs.weight, rtol=0, atol=1e-6)
