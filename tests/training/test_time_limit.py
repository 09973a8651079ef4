"""A run ends with the step in which its time is over, validated and finished, wherever it was stopped before."""

from pathlib import Path
from typing import Any

import pytest

from minform_cli.config.presets import resolve
from minform_cli.errors import InputError, Interrupted
from minform_cli.files import RunFolder
from minform_cli.report.train_table import train_table
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.training.loop import Loop
from minform_cli.training.run import train
from minform_cli.training.stackable import check_stackable
from minform_cli.training.step import Stepper
from minform_cli.training.team import Team
from tests.training.conftest import bits, lines, stopped, tiny
from tests.training.test_parallel import finish

LIMIT = "train.time_limit_s=100"


@pytest.fixture
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step takes ten seconds of a clock that nothing else moves."""
    now = [0.0]
    take = Stepper.take

    def slow(self: Stepper, at: int, batch: Any) -> tuple[float, int]:
        now[0] += 10
        return take(self, at, batch)

    monkeypatch.setattr(Stepper, "take", slow)
    monkeypatch.setattr(Team, "clock", lambda _self: now[0])
    monkeypatch.setattr("minform_cli.training.loop.time.perf_counter", lambda: now[0])


def ended(out: Path) -> ResultRecord:
    told: list[str] = []

    def tell(news: Progress) -> None:
        told.append(news.text or "")

    result = train(tiny(LIMIT), out, threads=1, on_progress=tell)
    assert any(text == "stopped after step 10 of 15: 100 s are over (train.time_limit_s)" for text in told)
    return result


@pytest.mark.usefixtures("_clock")
def test_it_ends_with_the_step_in_which_its_time_is_over(tmp_path: Path) -> None:
    result = ended(tmp_path / "run")
    assert result["stopped_early"] == {"epoch": 2, "of": 3, "by": "time_limit_s"}
    assert (result["epochs"], result["steps"], len(result["curve"])) == (2, 10, 2)
    assert "2 of 3 (train.time_limit_s was over), 10" in str(train_table(result, tmp_path / "run", "plain"))
    assert train(tiny(LIMIT), tmp_path / "run", resume=True, threads=1) == result
    assert read_result(tmp_path / "run") == result


@pytest.mark.usefixtures("_clock")
def test_an_epoch_that_is_cut_is_validated_where_it_was_cut(tmp_path: Path) -> None:
    result = train(tiny("train.time_limit_s=75"), tmp_path / "run", threads=1)
    assert (result["epochs"], result["steps"]) == (1.6, 8)
    assert [line["step"] for line in lines(RunFolder(tmp_path / "run").metrics)] == [5, 8]
    assert result["metrics"]["val_loss"] == lines(RunFolder(tmp_path / "run").metrics)[-1]["val_loss"]


@pytest.mark.usefixtures("_clock")
@pytest.mark.parametrize("step", [2, 5, 9])
def test_what_a_stopped_part_took_counts(tmp_path: Path, step: int) -> None:
    train(tiny(LIMIT), tmp_path / "whole", threads=1)
    stopped(tmp_path / "parts", step, LIMIT)
    state = read_state(tmp_path / "parts")
    state_s = 10.0 * step
    assert state == pytest.approx(state_s, abs=5)
    result = train(tiny(LIMIT), tmp_path / "parts", resume=True, threads=1)
    assert abs(result["steps"] - 10) <= 1  # setting up takes time, too


def read_state(out: Path) -> float:
    from minform_cli.runs.checkpoint import read_checkpoint
    from minform_cli.runs.folder import read_meta

    folder = RunFolder(out)
    return read_checkpoint(folder, read_meta(folder)["sha256"]).state.total_s


@pytest.mark.usefixtures("_clock")
def test_stopped_between_its_last_step_and_its_validation_it_takes_no_other(tmp_path: Path) -> None:
    train(tiny("train.time_limit_s=75"), tmp_path / "whole", threads=1)
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Interrupted):

        def stopping(self: Loop, split: str) -> Any:
            if self.state.out_of_time:
                raise Interrupted(2, "stopped")
            return score(self, split)  # type: ignore[arg-type]

        score = Loop.score
        monkeypatch.setattr(Loop, "score", stopping)
        train(tiny("train.time_limit_s=75"), tmp_path / "parts", threads=1)
    result = train(tiny("train.time_limit_s=75"), tmp_path / "parts", resume=True, threads=1)
    assert result["steps"] == 8
    assert bits(tmp_path / "parts") == bits(tmp_path / "whole")


@pytest.mark.usefixtures("_clock")
def test_time_that_is_over_with_the_last_step_changes_nothing(tmp_path: Path) -> None:
    result = train(tiny("train.time_limit_s=150"), tmp_path / "run", threads=1)
    assert "stopped_early" not in result
    assert result["steps"] == 15


def test_several_processes_end_with_the_same_step_and_one_at_least(tmp_path: Path) -> None:
    finish(tmp_path / "run", "train.time_limit_s=0.000001")
    result = read_result(tmp_path / "run")
    assert (result["steps"], result["stopped_early"]["by"]) == (1, "time_limit_s")


def test_stacked_seeds_refuse_it_and_runs_without_it_stay_what_they_were() -> None:
    with pytest.raises(InputError, match="time_limit_s"):
        check_stackable(resolve("debug", "baseline", [LIMIT]).config)
    assert "time_limit_s" not in tiny().identity()["train"]  # type: ignore[operator]
    with pytest.raises(InputError, match="time_limit_s"):
        resolve("debug", "baseline", ["train.time_limit_s=0"])
