"""A run ends when nothing has got better for long enough, wherever it was stopped before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from minform_cli.config.presets import resolve
from minform_cli.errors import InputError
from minform_cli.report.train_table import train_table
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import read_result
from minform_cli.training.evaluate import Scores
from minform_cli.training.loop import Loop
from minform_cli.training.run import train
from minform_cli.training.stackable import check_stackable
from tests.training.conftest import bits, stopped, tiny

ACCURACIES = (0.2, 0.5, 0.5, 0.4, 0.5, 0.9)
"""Validation accuracy by epoch: the second is the best until the sixth."""
EARLY = ("train.epochs=6", "train.early_stop=3")


@pytest.fixture
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    score = Loop.score

    def scripted(self: Loop, split: str) -> Scores:
        found = score(self, split)  # type: ignore[arg-type]
        if split != "val":
            return found
        return replace(found, loss=1.0, measured={"accuracy": ACCURACIES[self.state.epoch]})

    monkeypatch.setattr(Loop, "score", scripted)


@pytest.mark.usefixtures("_scripted")
def test_it_ends_after_so_many_epochs_without_a_better_one(tmp_path: Path) -> None:
    told: list[str] = []

    def tell(news: Progress) -> None:
        told.append(news.text or "")

    result = train(tiny(*EARLY), tmp_path / "early", threads=1, on_progress=tell)
    assert result["stopped_early"] == {"epoch": 5, "of": 6, "by": "early_stop"}
    assert (result["epochs"], result["steps"]) == (5, 25)
    assert result["metrics"]["best_epoch"] == 2
    assert any("stopped after epoch 5 of 6: nothing better than epoch 2 for 3" in text for text in told)
    assert "5 of 6" in str(train_table(read_result(tmp_path / "early"), tmp_path / "early", "plain"))


@pytest.mark.usefixtures("_scripted")
def test_a_run_that_gets_better_in_time_goes_on_to_its_end(tmp_path: Path) -> None:
    result = train(tiny("train.epochs=6", "train.early_stop=4"), tmp_path / "run", threads=1)
    assert "stopped_early" not in result
    assert result["epochs"] == 6


@pytest.mark.usefixtures("_scripted")
@pytest.mark.parametrize("step", [3, 10, 24, 25])
def test_stopped_and_resumed_it_ends_at_the_same_epoch_with_the_same_bits(tmp_path: Path, step: int) -> None:
    train(tiny(*EARLY), tmp_path / "whole", threads=1)
    if step < 25:
        stopped(tmp_path / "parts", step, *EARLY)
    result = train(tiny(*EARLY), tmp_path / "parts", resume=step < 25, threads=1)
    assert result["stopped_early"] == {"epoch": 5, "of": 6, "by": "early_stop"}
    assert bits(tmp_path / "parts") == bits(tmp_path / "whole")
    assert train(tiny(*EARLY), tmp_path / "parts", resume=True, threads=1) == result


def test_stacked_seeds_refuse_it_and_runs_without_it_stay_what_they_were() -> None:
    with pytest.raises(InputError, match="early_stop"):
        check_stackable(resolve("debug", "baseline", ["train.early_stop=3"]).config)
    assert "early_stop" not in tiny().identity()["train"]  # type: ignore[operator]
    with pytest.raises(InputError, match="early_stop"):
        resolve("debug", "baseline", ["train.early_stop=0"])
