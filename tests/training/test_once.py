"""What a run looks at, it looks at once: its names, its legality, its folder of images."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minform_cli.config import legality, presets
from minform_cli.data.images import folder
from minform_cli.models import verify
from minform_cli.training.run import train
from tests.cli.commands import Command
from tests.data.pictures import make_folder

Calls = Counter[str]
SMALL = [
    *(
        "--preset",
        "digits",
        "--set",
        "data.name=image-folder",
        "--set",
        "train.epochs=1",
        "--set",
        "train.batch_size=4",
    ),
    *("--set", "train.warmup_epochs=0", "--set", "model.dim=8", "--set", "model.depth=1", "--set", "model.heads=1"),
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "pictures", {"train": {"a": 5, "b": 5}, "val": {"a": 2, "b": 2}})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, pictures: Path) -> Calls:
    """How often what should be done once was done: the folders listed, by name, and functions of ours."""
    seen: Calls = Counter()
    scandir = os.scandir

    def listing(path: Any = ".") -> Any:
        if str(path).startswith(str(pictures)):
            seen[str(Path(path).relative_to(pictures))] += 1
        return scandir(path)

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            seen[name] += 1
            return function(*arguments, **named)

        return call

    monkeypatch.setattr(os, "scandir", listing)
    monkeypatch.setattr(presets, "resolve", counted("resolve", presets.resolve))
    monkeypatch.setattr("minform_cli.api.runs.resolve", presets.resolve)
    monkeypatch.setattr(legality, "check", counted("legality", legality.check))
    monkeypatch.setattr(folder, "open_images", counted("images opened", folder.open_images))
    monkeypatch.setattr("minform_cli.training.run.verify", counted("model verified", verify.verify))
    return seen


EVERY_FOLDER = {".": 1, "train": 1, "train/a": 1, "train/b": 1, "val": 1, "val/a": 1, "val/b": 1}


def test_train_looks_at_everything_once(calls: Calls, minform: Command, pictures: Path, tmp_path: Path) -> None:
    given = [*SMALL, "--set", f"data.path={pictures}", "--out", str(tmp_path / "run"), "--device", "cpu"]
    done = minform("train", *given)
    assert done.code == 0, done.err
    assert calls == EVERY_FOLDER | {"resolve": 1, "legality": 1, "images opened": 1, "model verified": 1}


def test_a_dry_run_looks_at_everything_once(calls: Calls, minform: Command, pictures: Path, tmp_path: Path) -> None:
    done = minform("train", *SMALL, "--set", f"data.path={pictures}", "--out", str(tmp_path / "run"), "--dry-run")
    assert done.code == 0, done.err
    assert calls == EVERY_FOLDER | {"resolve": 1, "legality": 1, "images opened": 1, "model verified": 1}


def test_a_variant_and_its_baseline_are_two_models(
    calls: Calls, minform: Command, pictures: Path, tmp_path: Path
) -> None:
    given = [*SMALL, "--set", f"data.path={pictures}", "--out", str(tmp_path / "run"), "--variant", "symmetric"]
    done = minform("train", *given, "--device", "cpu")
    assert done.code == 0, done.err
    assert calls == EVERY_FOLDER | {"resolve": 1, "legality": 2, "images opened": 1, "model verified": 1}


def test_settings_that_nobody_has_resolved_are_checked_once(calls: Calls, pictures: Path, tmp_path: Path) -> None:
    settings = [f"data.path={pictures}", *(word for word in SMALL if "=" in word)]
    config = presets.resolve("digits", "baseline", settings).config
    calls.clear()
    train(config, tmp_path / "run", device="cpu", threads=1)
    assert calls == EVERY_FOLDER | {"legality": 1, "images opened": 1, "model verified": 1}


def test_eval_lists_the_images_once(calls: Calls, minform: Command, pictures: Path, tmp_path: Path) -> None:
    given = [*SMALL, "--set", f"data.path={pictures}", "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert minform("train", *given).code == 0
    calls.clear()
    assert minform("eval", str(tmp_path / "run")).code == 0
    assert calls == EVERY_FOLDER | {"images opened": 1}
