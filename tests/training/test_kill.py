"""SIGKILL at random moments, then resume: everything equal to the bit to a run that nothing happened to."""

import random
from pathlib import Path

import pytest

from minform_cli.training.run import train
from tests.soak.scale import reached, seed, tries
from tests.training.conftest import SETTINGS, bits, tiny
from tests.training.killing import Kills, train_under_fire
from tests.zoo import IMAGE_VARIANTS

NUM_KILLS = tries(50)
EAGER = (*SETTINGS, "train.checkpoint_every_s=0")


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_bits_of_one_left_alone(tmp_path: Path, undisturbed: Path) -> None:
    kills, rng, runs = Kills(), random.Random(seed()), 0
    while kills.total < NUM_KILLS:
        out = tmp_path / f"run{runs}"
        train_under_fire(out, "baseline", EAGER, rng, kills)
        assert bits(out) == bits(undisturbed)
        assert not list(out.glob(".*.tmp"))
        runs += 1
    assert kills.after_progress >= 0.9 * kills.total
    reached("R1", kills.total)


@pytest.mark.soak
@pytest.mark.parametrize("variant", IMAGE_VARIANTS)
def test_every_variant_survives_being_killed(tmp_path: Path, variant: str) -> None:
    train(tiny(variant=variant), tmp_path / "alone", threads=1)
    kills = Kills()
    train_under_fire(tmp_path / "killed", variant, EAGER, random.Random(variant), kills)
    assert bits(tmp_path / "killed") == bits(tmp_path / "alone")
    assert kills.total >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ("train.accumulate=3", "train.ema=0.9"),
        ("train.activation_checkpointing=true", "data.mixup=0.2", "train.optimizer=muon"),
    ],
    ids=["parts of batches, averaged", "recomputed, mixed, muon"],
)
def test_whatever_else_a_step_does_survives_being_killed(tmp_path: Path, more: tuple[str, ...]) -> None:
    train(tiny(*more), tmp_path / "alone", threads=1)
    kills = Kills()
    train_under_fire(tmp_path / "killed", "baseline", (*EAGER, *more), random.Random(seed()), kills)
    assert bits(tmp_path / "killed") == bits(tmp_path / "alone")
    assert kills.total >= 1
    reached("R1", kills.total)
