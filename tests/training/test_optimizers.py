"""``train.optimizer``: what each steps, keeps and resumes with."""

from pathlib import Path

import pytest
import torch

from minform_cli.config.presets import resolve
from minform_cli.counting.form import whole_form
from minform_cli.counting.memory import cost_record, matrix_numbers
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.runs.tensors import expected_moments, moments_of
from minform_cli.training.optim import orthogonalised
from minform_cli.training.run import train
from minform_cli.training.stackable import check_stackable
from tests.training.conftest import bits, resumed, stopped, tiny
from tests.training.test_parallel import EXACT, finish, weights
from tests.training.test_step import make
from tests.zoo import ALL_PARTS, build, model_with, run_config, spec_of

OPTIMIZERS = [
    ("train.optimizer=adamw",),
    ("train.optimizer=adam",),
    ("train.optimizer=sgd", "train.learning_rate=0.05"),
    ("train.optimizer=sgd", "train.momentum=0", "train.learning_rate=0.05"),
    ("train.optimizer=muon",),
    ("train.optimizer=muon", "train.momentum=0"),
]


@pytest.mark.parametrize("settings", OPTIMIZERS)
def test_it_learns_and_keeps_what_is_expected_of_it(settings: tuple[str, ...]) -> None:
    stepper, batch = make(*settings, "train.schedule=constant")
    assert not moments_of(stepper.model, stepper.optimizer)
    losses = [stepper.take(step, batch)[0] for step in range(8)]
    assert losses[-1] < losses[0]
    found, expected = (
        moments_of(stepper.model, stepper.optimizer),
        expected_moments(stepper.model, stepper.optimizer, 8),
    )
    assert {name: (m.shape, m.dtype) for name, m in found.items()} == {
        name: (m.shape, m.dtype) for name, m in expected.items()
    }


@pytest.mark.parametrize("settings", OPTIMIZERS)
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path, settings: tuple[str, ...]) -> None:
    train(tiny(*settings), tmp_path / "whole", threads=1)
    assert bits(resumed(tmp_path / "stopped", 8, *settings)) == bits(tmp_path / "whole")


def test_muon_steps_the_matrices_within_blocks_and_adamw_the_rest() -> None:
    """Each as torch's own does alone."""
    settings = ("train.optimizer=muon", "train.weight_decay=0.1", "train.learning_rate=0.001", "train.clip_norm=null")
    stepper, batch = make(*settings)
    twin, _ = make(*settings)
    named = dict(twin.model.named_parameters())
    matrices = {name for name, p in named.items() if orthogonalised(name, p)}
    assert {name.split(".")[0] for name in matrices} == {"blocks"}
    assert {name.split(".")[0] for name in named.keys() - matrices} >= {"embedding", "readout", "blocks"}
    options = {"lr": stepper.learning_rate(0), "weight_decay": 0.1}
    each = (
        torch.optim.Muon([named[n] for n in matrices], momentum=0.95, adjust_lr_fn="match_rms_adamw", **options),
        torch.optim.AdamW([named["readout.head.weight"]], betas=(0.9, 0.98), fused=True, **options),
    )
    stepper.take(0, batch)
    twin._gradients(0, batch)
    for optimizer in each:
        optimizer.step()
    ours = dict(stepper.model.named_parameters())
    for name in (*matrices, "readout.head.weight"):
        assert torch.equal(ours[name], named[name]), name


def test_a_step_of_muon_has_the_size_that_it_is_scaled_to() -> None:
    stepper, batch = make("train.optimizer=muon", "train.weight_decay=0")
    before = {name: p.detach().clone() for name, p in stepper.model.named_parameters()}
    stepper.take(0, batch)
    for name, p in stepper.model.named_parameters():
        if orthogonalised(name, p):
            size = (p.detach() - before[name]).square().mean().sqrt().item()
            size /= stepper.learning_rate(0)
            assert 0.13 < size < 0.25, name  # 0.2 times the singular values, from 0.7 to 1.2


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_the_matrices_that_a_count_gives_to_muon_are_those_that_it_steps(axis: str, kind: str) -> None:
    model = model_with(axis, kind)
    config = run_config(model)
    built = build(model)
    named = {name: p.numel() for name, p in built.named_parameters() if orthogonalised(name, p)}
    assert matrix_numbers(whole_form(model, spec_of(model), config.task)) == sum(named.values()), named.keys()


def test_bytes_of_what_each_keeps() -> None:
    def kept(*settings: str) -> int:
        config = resolve("digits", "baseline", settings).config
        return cost_record(config, spec_for(config), 1_000_000)["optimizer_bytes"]

    digits = resolve("digits").config
    matrices = 4 * matrix_numbers(whole_form(digits.model, spec_for(digits), digits.task))
    assert (kept(), kept("train.optimizer=adam"), kept("train.ema=0.9")) == (8_000_000, 8_000_000, 12_000_000)
    assert (kept("train.optimizer=sgd"), kept("train.optimizer=sgd", "train.momentum=0")) == (4_000_000, 0)
    assert kept("train.optimizer=muon") == 8_000_000 - matrices < 8_000_000


def test_several_processes_go_on_from_one_muon(tmp_path: Path) -> None:
    settings = (*EXACT, "train.optimizer=muon", "train.learning_rate=0.0001")
    train(tiny(*settings), tmp_path / "one", threads=1)
    stopped(tmp_path / "two", 8, *settings)
    finish(tmp_path / "two", *settings, "--resume")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-4, msg=name)


def test_damage_to_what_it_keeps_is_found(tmp_path: Path) -> None:
    settings = ("train.optimizer=muon",)
    stopped(tmp_path / "run", 8, *settings)
    folder = RunFolder(tmp_path / "run")
    kept = tmp_path / "run" / read_checkpoint(folder, read_meta(folder)["sha256"]).files["optimizer"]["name"]
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="damaged"):
        train(tiny(*settings), tmp_path / "run", resume=True, threads=1)


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_momentum_is_refused_where_there_is_none(optimizer: str) -> None:
    with pytest.raises(InputError, match=rf"^--set: train.momentum: {optimizer} has none; accepted: with .*$"):
        tiny(f"train.optimizer={optimizer}", "train.momentum=0.9")
    with pytest.raises(InputError, match=r"train\.momentum"):
        tiny("train.optimizer=sgd", "train.momentum=1")


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_stacked_seeds_take_neither_and_runs_without_are_what_they_were(optimizer: str) -> None:
    with pytest.raises(InputError, match=rf"--stack-seeds: train.optimizer {optimizer} .*; accepted: adamw, adam"):
        check_stackable(tiny(f"train.optimizer={optimizer}"))
    assert "momentum" not in tiny().identity()["train"]  # type: ignore[operator]
