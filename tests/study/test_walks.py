"""A study looks at everything once: its folder of images, its names, whether its parts go together."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minform_cli.config import legality
from minform_cli.study import plan as planning
from minform_cli.study.comparison import plan_comparison
from minform_cli.study.options import StudyOptions
from tests.cli.commands import Command
from tests.data.pictures import make_folder

SETTINGS = ("data.name=image-folder", "data.limit=null", "train.epochs=1", "train.warmup_epochs=0")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "images", {split: {"ant": 6, "cat": 6} for split in ("train", "val")})


@pytest.fixture
def looks(images: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each thing was looked at."""
    counts: Counter[str] = Counter()

    def counted(name: str, do: Callable[..., Any], counts_it: Callable[..., bool]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            counts[name] += counts_it(*given)
            return do(*given, **named)

        return call

    def of_the_root(folder: Any = ".", *_: Any) -> bool:
        return Path(os.fsdecode(folder)).resolve() == images.resolve()

    monkeypatch.setattr(os, "scandir", counted("walks", os.scandir, of_the_root))
    monkeypatch.setattr(os, "listdir", counted("walks", os.listdir, of_the_root))
    monkeypatch.setattr(planning, "resolve", counted("resolved", planning.resolve, lambda *_: True))
    monkeypatch.setattr(legality, "check", counted("legal", legality.check, lambda *_: True))
    return counts


def test_a_study_of_two_variants_and_two_seeds_looks_at_everything_once(
    images: Path, looks: Counter[str], minform: Command, tmp_path: Path
) -> None:
    given = [word for setting in (*SETTINGS, f"data.path={images}") for word in ("--set", setting)]
    asked = ["--preset", "debug", "--variant", "baseline", "--variant", "minimal", "--seeds", "2"]
    outcome = minform("compare", *asked, *given, "--out", str(tmp_path / "study"), "--jobs", "1", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert "report.html" in outcome.err
    assert looks["walks"] == 1
    assert looks["resolved"] == 2  # a variant each, whatever its seeds
    assert looks["legal"] <= 4  # of each the model and its baseline


def test_what_was_found_goes_with_a_run_to_another_process(images: Path, looks: Counter[str], tmp_path: Path) -> None:
    settings = (*SETTINGS, f"data.path={images}")
    plan = plan_comparison(StudyOptions(preset="debug", settings=settings, seeds=2, out=tmp_path / "study"))
    run = pickle.loads(pickle.dumps(plan.runs[-1]))
    assert run == plan.runs[-1]
    assert len(run.source.load().val) == 12
    assert looks["walks"] == 1
