"""Seeds stacked in one model: every part and variant computes what each seed computes alone."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor

from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.data.batch import Batch
from minform_cli.errors import NumericalError
from minform_cli.models.build import build_model
from minform_cli.runs.tensors import moments_of
from minform_cli.tasks import TASKS
from minform_cli.training.stacked import SeedStack
from minform_cli.training.step import Stepper
from tests import zoo

STEPS = 3
MODELS = {f"variant {name}": zoo.variant_model(name) for name in zoo.ALL_VARIANTS} | {
    f"parts {number}": model for number, model in enumerate(zoo.covering())
}


def config_of(model: ModelConfig, seed: int, **settings: object) -> RunConfig:
    config = zoo.run_config(model)
    train = config.train.model_copy(update={"clip_norm": 0.5, "weight_decay": 0.1, "warmup_epochs": 0.0, **settings})
    return config.model_copy(update={"seed": seed, "train": train})


def steppers_of(configs: list[RunConfig], dtype: torch.dtype) -> list[Stepper]:
    made: list[Stepper] = []
    for config in configs:
        torch.manual_seed(config.seed)
        model = build_model(config, zoo.spec_of(config.model)).to(dtype)
        model.train()
        made.append(Stepper(model, config, zoo.spec_of(config.model), steps_per_epoch=5))
    return made


def batch_of(config: RunConfig, step: int, dtype: torch.dtype, size: int = 4) -> Batch:
    """Random; of tasks that predict hidden tokens another number of them for each seed."""
    seed = 100 * config.seed + step
    inputs = tuple(x.to(dtype) if x.is_floating_point() else x for x in zoo.examples(config.model, size, seed))
    generator = torch.Generator().manual_seed(seed)
    if zoo.takes_images(config.model):
        return Batch(inputs, torch.randint(5, (size,), generator=generator))
    if not TASKS.info(config.task).predicts_tokens:
        return Batch(inputs, torch.randint(2, (size,), generator=generator))
    where = torch.arange(0, inputs[0].numel(), 2 + config.seed)
    told = (*inputs, None, where) if len(inputs) == 2 else (*inputs, None, None, where)
    return Batch(told, torch.randint(11, (len(where),), generator=generator))


def compared(configs: list[RunConfig], dtype: torch.dtype) -> float:
    """The largest difference of any number of any seed's weights, after steps taken alone and stacked."""
    alone, together = steppers_of(configs, dtype), steppers_of(configs, dtype)
    stack = SeedStack(together, configs)
    for step in range(STEPS):
        batches = [batch_of(config, step, dtype) for config in configs]
        expected = [stepper.take(step, batch) for stepper, batch in zip(alone, batches, strict=True)]
        for (loss, correct), found in zip(expected, stack.take(step, batches), strict=True):
            assert not isinstance(found, NumericalError)
            assert found[0] == pytest.approx(loss, rel=1e-10 if dtype == torch.float64 else 1e-3)
            assert dtype != torch.float64 or found[1] == correct
    return max(
        (mine - theirs).abs().max().item()
        for one, other in zip(alone, together, strict=True)
        for mine, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", MODELS)
def test_three_stacked_steps_are_those_of_each_seed_alone_and_nothing_loops(name: str) -> None:
    configs = [config_of(MODELS[name], seed) for seed in (0, 1, 2)]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        assert compared(configs, torch.float64) < 1e-10


@pytest.mark.parametrize("name", ["baseline", "minimal", "symmetric", "anthe"])
def test_in_float32_stacked_steps_differ_by_rounding(name: str) -> None:
    """Adam takes a gradient that is zero but for rounding for as large as any other, so that a number may differ by as
    much as it moves: the learning rate in every step.
    """
    configs = [config_of(MODELS[f"variant {name}"], seed) for seed in (0, 1, 2)]
    assert compared(configs, torch.float32) < STEPS * configs[0].train.learning_rate


def test_stacked_seeds_compute_in_the_precision_of_the_run_and_keep_float32() -> None:
    plain = [config_of(zoo.variant_model("baseline"), seed) for seed in (0, 1)]
    half = [c.model_copy(update={"train": c.train.model_copy(update={"precision": "bf16"})}) for c in plain]
    made = {
        name: steppers_of(configs, torch.float32)
        for name, configs in (("fp32", plain), ("bf16", half), ("alone", half))
    }
    batches = [batch_of(config, 0, torch.float32) for config in plain]
    full, lower = SeedStack(made["fp32"], plain).take(0, batches), SeedStack(made["bf16"], half).take(0, batches)
    alone = [stepper.take(0, batch) for stepper, batch in zip(made["alone"], batches, strict=True)]
    for one, other, lone in zip(full, lower, alone, strict=True):
        assert not isinstance(one, NumericalError) and not isinstance(other, NumericalError)
        assert one[0] != other[0]
        assert other[0] == pytest.approx(lone[0], rel=2**-7)
        assert other[0] == pytest.approx(one[0], rel=2**-6)
    for stepper in made["bf16"]:
        held = [*stepper.model.parameters(), *(m for each in stepper.optimizer.state.values() for m in each.values())]
        assert {tensor.dtype for tensor in held} == {torch.float32}


def numbers_of(steppers: list[Stepper]) -> list[Tensor]:
    return [torch.cat([p.detach().flatten() for p in stepper.model.parameters()]) for stepper in steppers]


def trained(model: ModelConfig, seeds: tuple[int, ...], *, again_at: int = STEPS) -> list[Tensor]:
    """Weights of each seed after stacked steps; at `again_at` they are stacked anew."""
    configs = [config_of(model, seed) for seed in seeds]
    steppers = steppers_of(configs, torch.float64)
    stack = SeedStack(steppers, configs)
    for step in range(STEPS):
        if step == again_at:
            stack = SeedStack(steppers, configs)
        stack.take(step, [batch_of(config, step, torch.float64) for config in configs])
    return numbers_of(steppers)


def test_dropout_of_a_seed_is_its_own_whoever_is_beside_it() -> None:
    model = zoo.model_with("similarity", "separate", dropout=0.3)
    first, second = trained(model, (0, 1, 2)), trained(model, (3, 1))
    assert torch.allclose(first[1], second[1], rtol=0, atol=1e-12)
    same = zoo.model_with("similarity", "separate", dropout=0.0)
    assert not torch.allclose(first[1], trained(same, (3, 1))[1], rtol=0, atol=1e-3)


def test_dropout_of_a_stacked_seed_is_that_of_the_seed_alone() -> None:
    model = zoo.model_with("similarity", "none", dropout=0.3)  # fused attention may draw its masks otherwise
    assert compared([config_of(model, seed) for seed in (0, 1)], torch.float64) < 1e-10


def test_seeds_stacked_anew_go_on_to_the_same_bits() -> None:
    model = zoo.model_with("similarity", "tied")
    undisturbed, again = trained(model, (0, 1, 2)), trained(model, (0, 1, 2), again_at=1)
    assert all(torch.equal(one, other) for one, other in zip(undisturbed, again, strict=True))


def test_moments_of_each_seed_are_those_it_would_have_alone() -> None:
    configs = [config_of(zoo.variant_model("baseline"), seed) for seed in (0, 1)]
    alone, together = steppers_of(configs, torch.float64), steppers_of(configs, torch.float64)
    stack = SeedStack(together, configs)
    for step in range(2):
        batches = [batch_of(config, step, torch.float64) for config in configs]
        for stepper, batch in zip(alone, batches, strict=True):
            stepper.take(step, batch)
        stack.take(step, batches)
    for one, other in zip(alone, together, strict=True):
        expected, found = moments_of(one.model, one.optimizer), moments_of(other.model, other.optimizer)
        assert expected.keys() == found.keys()
        assert all(torch.allclose(found[name], expected[name], rtol=0, atol=1e-10) for name in expected)


@pytest.mark.parametrize("where", ["input", "gradient"])
def test_a_seed_that_is_not_finite_stops_alone_with_the_words_it_has_alone(where: str) -> None:
    configs = [config_of(zoo.variant_model("baseline"), seed) for seed in (0, 1, 2)]
    alone, together = steppers_of(configs, torch.float64), steppers_of(configs, torch.float64)
    batches = [batch_of(config, 0, torch.float64) for config in configs]
    if where == "input":
        images = batches[1].inputs[0]
        assert images is not None
        images.view(-1)[3] = float("nan")
    else:  # squares of the gradient overflow, the loss does not
        for steppers in (alone, together):
            with torch.no_grad():
                next(p for name, p in steppers[1].model.named_parameters() if "head" in name and p.ndim == 2).mul_(
                    1e300
                )
    before = numbers_of(together)
    with pytest.raises(NumericalError) as caught:
        alone[1].take(0, batches[1])
    for stepper, batch in zip(alone[::2], batches[::2], strict=True):
        stepper.take(0, batch)
    taken = SeedStack(together, configs).take(0, batches)
    assert isinstance(taken[1], NumericalError)
    assert str(taken[1]) == str(caught.value)
    assert torch.equal(numbers_of(together)[1], before[1])
    for number in (0, 2):
        assert not isinstance(taken[number], NumericalError)
        assert torch.allclose(numbers_of(together)[number], numbers_of(alone)[number], rtol=0, atol=1e-10)
