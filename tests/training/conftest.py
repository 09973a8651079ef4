"""Small real runs, and what of them must be equal to the bit."""

import hashlib
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from minform_cli.config.presets import resolve
from minform_cli.config.schema import RunConfig
from minform_cli.errors import Interrupted
from minform_cli.files import RunFolder
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.training.run import train
from minform_cli.training.stacked import SeedStack
from minform_cli.training.step import Stepper

# Odd sizes on purpose: the last batch of an epoch is smaller, dropout and clipping are on.
SETTINGS = (
    "data.limit=110",
    "train.batch_size=25",
    "train.epochs=3",
    "train.clip_norm=0.5",
    "train.eval_batch_size=100",
    "model.dropout=0.1",
)


def tiny(*settings: str, variant: str = "baseline", seed: int = 0) -> RunConfig:
    """A run of 15 steps with everything switched on that a resume could lose."""
    return resolve("debug", variant, (*SETTINGS, *settings), seed).config


def bits(folder: Path) -> dict[str, str]:
    """SHA-256 of everything in a run folder that may not depend on how often the run was stopped."""
    run = RunFolder(folder)
    files = read_checkpoint(run, read_meta(run)["sha256"]).files
    digests = {role: hashlib.sha256((folder / entry["name"]).read_bytes()).hexdigest() for role, entry in files.items()}
    return {**digests, "metrics": hashlib.sha256(run.metrics.read_bytes()).hexdigest()}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a `tiny` run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    train(tiny(), folder, threads=1)
    return folder


@pytest.fixture
def train_tiny(tmp_path: Path) -> Callable[..., Path]:
    """Trains a `tiny` run with more settings, and returns its folder."""

    def run(*settings: str, name: str = "run", **options: object) -> Path:
        train(tiny(*settings), tmp_path / name, threads=1, **options)  # type: ignore[arg-type]
        return tmp_path / name

    return run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def signalled(step: int, takes: type[Stepper] | type[SeedStack] = Stepper) -> Generator[None]:
    """Within, training is stopped by a signal at `step`, from 1; `takes`: whose steps they are."""
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Interrupted):
        take: Callable[..., Any] = takes.take

        def signalling(self: Any, number: int, batch: Any) -> Any:
            if number + 1 == step:
                os.kill(os.getpid(), 2)
            return take(self, number, batch)

        monkeypatch.setattr(takes, "take", signalling)
        yield


def stopped(out: Path, step: int, *settings: str) -> Path:
    """A run that was stopped by a signal at `step`."""
    with signalled(step):
        train(tiny(*settings), out, threads=1)
    return out


def resumed(out: Path, step: int, *settings: str) -> Path:
    """A run that was stopped by a signal at `step`, and went on to its end."""
    train(tiny(*settings), stopped(out, step, *settings), resume=True, threads=1)
    return out
