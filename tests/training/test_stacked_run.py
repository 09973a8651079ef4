"""Stacked seeds to the end of their folders: as if each had been trained alone, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from minform_cli.config.schema import RunConfig
from minform_cli.config.training import TrainConfig
from minform_cli.errors import InputError, NumericalError
from minform_cli.files import RunFolder
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.runs.tensors import read_tensors
from minform_cli.training.prepare import prepare
from minform_cli.training.run import train
from minform_cli.training.stackable import check_stackable
from minform_cli.training.stacked import SeedStack
from minform_cli.training.stacked_run import SeedRun, train_stacked
from tests.training.conftest import bits, lines, signalled, tiny

SEEDS = (0, 1, 2)
PLAIN = ("model.dropout=0", "train.epochs=2")
"""Without dropout, of which fused attention may draw other masks."""


def stacked(
    out: Path, *settings: str, seeds: Sequence[int] = SEEDS, resume: bool = False
) -> list[ResultRecord | NumericalError]:
    runs = [
        SeedRun(prepare(tiny(*settings, seed=seed)), out / f"seed-{seed}", resume, lambda _news: None) for seed in seeds
    ]
    return train_stacked(runs, device="cpu", threads=1)


def step_of(folder: Path) -> int:
    run = RunFolder(folder)
    return read_checkpoint(run, read_meta(run)["sha256"]).state.step


def stopped(out: Path, step: int, *settings: str) -> None:
    """Stacked seeds, stopped by a signal at `step`."""
    with signalled(step, SeedStack):
        stacked(out, *settings)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stacked")
    stacked(out)
    return out


@pytest.mark.parametrize(
    ("more", "rounding"),
    [
        ((), 1e-3),
        (("train.precision=bf16", "train.learning_rate=0.0001"), 1e-2),
        (("data.random_erasing=0.5", "data.auto_augment=rand-augment", "data.crop_padding=1"), 1e-3),
    ],
)
def test_every_folder_ends_as_that_of_the_seed_alone(tmp_path: Path, more: tuple[str, ...], rounding: float) -> None:
    results = stacked(tmp_path / "stacked", *PLAIN, *more)
    for seed, result in zip(SEEDS, results, strict=True):
        assert not isinstance(result, NumericalError)
        one, other = tmp_path / "alone" / f"seed-{seed}", tmp_path / "stacked" / f"seed-{seed}"
        alone = train(tiny(*PLAIN, *more, seed=seed), one, threads=1)
        assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}
        assert result == read_result(other)
        assert result.keys() == alone.keys()
        assert {key: result[key] for key in ("seed", "steps", "epochs", "count", "data")} == {
            key: alone[key] for key in ("seed", "steps", "epochs", "count", "data")
        }
        assert result["environment"] == alone["environment"] | {"stacked": len(SEEDS)}
        assert read_meta(RunFolder(other))["config"] == read_meta(RunFolder(one))["config"]
        for mine, theirs in zip(lines(RunFolder(other).metrics), lines(RunFolder(one).metrics), strict=True):
            assert mine.keys() == theirs.keys()
            assert mine["step"] == theirs["step"]
            assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=rounding)
            assert mine["val_loss"] == pytest.approx(theirs["val_loss"], rel=rounding)
        files = [
            read_checkpoint(RunFolder(folder), read_meta(RunFolder(folder))["sha256"]).files for folder in (one, other)
        ]
        for role in ("weights", "optimizer", "best"):
            tensors = [
                read_tensors(RunFolder(folder), each[role]) for folder, each in zip((one, other), files, strict=True)
            ]
            assert {key: (value.shape, value.dtype) for key, value in tensors[0].items()} == {
                key: (value.shape, value.dtype) for key, value in tensors[1].items()
            }


def test_the_same_stack_gives_the_same_bits(undisturbed: Path, tmp_path: Path) -> None:
    stacked(tmp_path)
    assert [bits(tmp_path / f"seed-{seed}") for seed in SEEDS] == [bits(undisturbed / f"seed-{seed}") for seed in SEEDS]


@pytest.mark.parametrize("step", [1, 5, 7])  # the first, the last of an epoch, one within
def test_a_stack_that_was_stopped_goes_on_to_the_same_bits(step: int, undisturbed: Path, tmp_path: Path) -> None:
    stopped(tmp_path, step)
    assert {step_of(tmp_path / f"seed-{seed}") for seed in SEEDS} == {step}
    stacked(tmp_path, resume=True)
    assert [bits(tmp_path / f"seed-{seed}") for seed in SEEDS] == [bits(undisturbed / f"seed-{seed}") for seed in SEEDS]


def test_a_seed_of_a_stopped_stack_goes_on_alone(tmp_path: Path) -> None:
    stopped(tmp_path, 7, *PLAIN)
    news: list[str] = []
    result = train(
        tiny(*PLAIN, seed=1),
        tmp_path / "seed-1",
        resume=True,
        threads=1,
        on_progress=lambda each: news.append(each.text),
    )
    assert result["steps"] == 10
    assert any("began with stacked 3, this is 1" in text for text in news)


def test_seeds_at_different_steps_are_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    stopped(tmp_path, 7, *PLAIN)
    train(tiny(*PLAIN, seed=1), tmp_path / "seed-1", resume=True, threads=1)
    assert len(stacked(tmp_path, *PLAIN, resume=True)) == len(SEEDS)  # the finished one is taken as it is
    stopped(tmp_path / "more", 3, *PLAIN)
    begun, fresh = ((tmp_path / "more" / f"seed-{seed}", tiny(*PLAIN, seed=seed)) for seed in (0, 5))
    runs = [SeedRun(prepare(config), out, out == begun[0], _unheard) for out, config in (begun, fresh)]
    with pytest.raises(InputError, match=r"^--stack-seeds: the seeds stand at different steps, 0, 3; accepted: .*$"):
        train_stacked(runs, device="cpu", threads=1)
    assert step_of(tmp_path / "more" / "seed-0") == 3


def _unheard(_news: object) -> None:
    """Nobody listens."""


def test_a_seed_that_fails_fails_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    take = SeedStack.take

    def poisoned(self: SeedStack, step: int, batches: Any) -> Any:
        if step == 6:
            assert [config.seed for config in self.configs] == [0, 1, 2]
            batches[1].inputs[0].fill_(float("nan"))
        if step > 6:
            assert [config.seed for config in self.configs] == [0, 2]
        return take(self, step, batches)

    monkeypatch.setattr(SeedStack, "take", poisoned)
    first, second, third = stacked(tmp_path, *PLAIN, "train.checkpoint_every_s=0")
    assert isinstance(second, NumericalError)
    assert "input image is not finite at step 7 of 10" in str(second)
    assert not RunFolder(tmp_path / "seed-1").is_finished()
    assert step_of(tmp_path / "seed-1") == 6
    for seed, result in ((0, first), (2, third)):
        assert not isinstance(result, NumericalError)
        alone = train(tiny(*PLAIN, seed=seed), tmp_path / "alone" / f"seed-{seed}", threads=1)
        assert result["metrics"]["val_loss"] == pytest.approx(alone["metrics"]["val_loss"], rel=1e-3)


def test_seconds_of_the_steps_are_shared(undisturbed: Path) -> None:
    """Each seed is told its share: together they are no more than what passed on the clock."""
    results = [read_result(undisturbed / f"seed-{seed}") for seed in SEEDS]
    assert (
        0
        < sum(result["timing"]["train_s"] for result in results)
        < max(result["timing"]["total_s"] for result in results)
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda config: config.model_copy(update={"task": "translate"}), "examples of the task translate are of"),
        (lambda config: config.model_copy(update={"teacher": "runs/x"}), "a run that follows or continues another"),
        (
            lambda config: config.model_copy(update={"train": config.train.model_copy(update={"batch_tokens": 100})}),
            "train.batch_tokens is not there for stacked seeds",
        ),
    ],
)
def test_what_is_not_there_for_stacked_seeds_is_refused_in_one_line(changed: Any, said: str) -> None:
    config: RunConfig = tiny()
    check_stackable(config)
    with pytest.raises(InputError) as caught:
        check_stackable(changed(config))
    assert str(caught.value).startswith(f"--stack-seeds: {said}")
    assert "\n" not in str(caught.value)
    assert "accepted: " in str(caught.value)


def test_a_setting_that_nobody_knows_here_is_refused() -> None:
    class Later(TrainConfig):
        later: float | None = None

    config = tiny()
    config = config.model_copy(update={"train": Later(**{**config.train.model_dump(), "later": 0.9})})
    with pytest.raises(InputError, match=r"train\.later is not there for stacked seeds"):
        check_stackable(config)
    check_stackable(config.model_copy(update={"train": Later(**config.train.model_dump() | {"later": None})}))
