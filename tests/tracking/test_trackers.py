"""`--log`: what each tracker's own reader gives back is what the run's folder says, once, whatever stopped it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import pytest

from minform_cli.errors import NumericalError
from minform_cli.files import RunFolder
from minform_cli.runs.removal import remove_interrupted_run
from minform_cli.tracking import TRACKERS
from minform_cli.training.step import Stepper
from tests.cli.commands import Command, environment
from tests.tracking.conftest import Reader
from tests.tracking.readers import READERS, Read, read_mlflow
from tests.training.launching import launch
from tests.waiting import until

LONGER = ("--preset", "debug", "--set", "train.epochs=3", "--set", "train.warmup_epochs=0", "--set", "data.limit=60")
STUDY = ("compare", *LONGER, "--variant", "baseline", "--variant", "minimal", "--device", "cpu", "--out", "study")


def journal(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in RunFolder(folder).metrics.read_text().splitlines()]


def check(run: Read, folder: Path) -> None:
    """A finished run's log against its folder."""
    result = json.loads(RunFolder(folder).result.read_text())
    assert run.state == "finished"
    rows = journal(folder)
    assert len(rows) == result["epochs"]
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        assert [step for step, _ in run.history[name]] == [row["step"] for row in rows], name
        assert [value for _, value in run.history[name]] == pytest.approx([row[name] for row in rows], rel=1e-6), name
    for name, points in run.history.items():
        steps = [step for step, _ in points]
        assert len(set(steps)) == len(steps), f"{name} has points twice"
    for name in ("test_accuracy", "test_loss", "best_epoch"):
        assert run.final[name] == pytest.approx(result["metrics"][name], rel=1e-6)  # TensorBoard keeps float32
    for name in ("parameters", "share_of_baseline", "determination_ratio"):
        assert float(run.config[name]) == pytest.approx(result["count"][name], rel=1e-6)
    assert str(run.config["seed"]).removesuffix(".0") == str(result["seed"])
    assert run.config["variant"] == result["variant"]
    assert str(run.config["model.dim"]).removesuffix(".0") == "16"
    assert not any(key.startswith("baseline") for key in run.config)


def only(runs: dict[str, Read]) -> Read:
    (run,) = runs.values()
    return run


def trip(step: int, error: Exception | None) -> pytest.MonkeyPatch:
    """At that step a run raises `error`, or is sent Ctrl-C; until the patch is undone."""
    take = Stepper.take

    def tripped(self: Stepper, number: int, batch: Any) -> Any:
        if number == step:
            if error is not None:
                raise error
            os.kill(os.getpid(), signal.SIGINT)
        return take(self, number, batch)

    patch = pytest.MonkeyPatch()
    patch.setattr(Stepper, "take", tripped)
    return patch


def test_a_run_is_logged_whole(minform: Command, tracker: str, read: Reader) -> None:
    outcome = minform("train", *LONGER, "--variant", "minimal", "--out", "run", "--log", tracker, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)[0]["variant"] == "minimal"  # trackers print nothing there
    run = only(read())
    assert run.name == "run"
    assert run.of is None
    check(run, Path("run"))


@pytest.mark.parametrize(
    ("error", "code", "state"), [(NumericalError("a loss is not finite"), 3, "failed"), (None, 130, "killed")]
)
def test_a_run_that_stops_says_how_and_goes_on_in_the_same_log_without_a_point_twice(
    minform: Command, tracker: str, read: Reader, error: Exception | None, code: int, state: str
) -> None:
    patch = trip(3, error)
    given = ("train", *LONGER, "--set", "train.checkpoint_every_s=1e-9", "--out", "run", "--log", tracker, "-q")
    stopped = minform(*given)
    patch.undo()
    assert (stopped.code, stopped.err.count("--log")) == (code, 0), stopped.err
    assert only(read()).state == state
    resumed = minform(*given, "--resume")
    assert resumed.code == 0, resumed.err
    check(only(read()), Path("run"))
    assert minform(*given, "--resume").code == 0
    check(only(read()), Path("run"))


def test_what_a_run_did_without_a_log_is_logged_later(minform: Command, tracker: str, read: Reader) -> None:
    patch = trip(3, None)
    assert minform("train", *LONGER, "--out", "run", "-q").code == 130
    patch.undo()
    assert minform("train", *LONGER, "--out", "run", "--resume", "--log", tracker, "-q").code == 0
    check(only(read()), Path("run"))


def test_a_finished_run_is_logged_when_asked_for(minform: Command, tracker: str, read: Reader) -> None:
    assert minform("train", *LONGER, "--out", "run", "-q").code == 0
    assert minform("train", *LONGER, "--out", "run", "--resume", "--log", tracker, "-q").code == 0
    check(only(read()), Path("run"))


def test_an_interrupted_run_with_a_log_can_be_removed(minform: Command, tracker: str, offline: Path) -> None:
    patch = trip(3, None)
    assert minform("train", *LONGER, "--out", "run", "--log", tracker, "-q").code == 130
    patch.undo()
    remove_interrupted_run(Path("run"))
    assert not Path("run").exists()


@pytest.mark.parametrize("more", [("--jobs", "1"), ("--stack-seeds", "--stack-anyway")], ids=["alone", "stacked"])
def test_a_study_is_one_group_with_its_table(
    minform: Command, tracker: str, read: Reader, more: tuple[str, ...]
) -> None:
    given = (*STUDY, "--seeds", "2", *more, "--log", tracker, "--json")
    outcome = minform(*given)
    assert outcome.code == 0, outcome.err
    runs = read()
    check_study(runs, tracker)
    assert minform(*given).code == 0  # nothing is left to do, and nothing is logged again
    assert read() == runs


def check_study(runs: dict[str, Read], tracker: str) -> None:
    folders = {
        f"study/{variant}/seed-{seed}" if tracker == "tensorboard" else f"{variant}-seed{seed}":
        Path("study", variant, f"seed-{seed}")
        for variant in ("baseline", "minimal")
        for seed in (0, 1)
    }  # fmt: skip
    assert runs.keys() == {"study", *folders}
    for name, folder in folders.items():
        check(runs[name], folder)
        assert runs[name].of == "study"
    study = runs["study"]
    assert study.state == "finished"
    assert study.table is not None
    assert [row["variant"] for row in study.table] == ["baseline", "minimal"]
    expected = json.loads(Path("study/table.json").read_text())
    if tracker != "tensorboard":  # there it is the table for people
        for row, record in zip(study.table, expected, strict=True):
            assert row["parameters"] == record["parameters"]
            assert row["val_score_mean"] == pytest.approx(record["val_score_mean"])


@pytest.mark.parametrize(
    ("tracker", "table", "score"),
    [
        ("mlflow", "mlflow.db", "metrics.val_accuracy"),
        ("trackio", "trackio/minform.db", "val_accuracy"),
        ("wandb", "wandb", "summary.val_accuracy"),
    ],
    indirect=["tracker"],
)
def test_compare_reads_what_was_logged_as_another_tools_table(
    minform: Command, tracker: str, read: Reader, table: str, score: str
) -> None:
    assert minform(*STUDY, "--seeds", "2", "--jobs", "1", "--log", tracker, "-q").code == 0
    read()
    outcome = minform("compare", "--table", table, "--columns", f"score={score}", "--json")
    assert outcome.code == 0, outcome.err
    expected = json.loads(Path("study/table.json").read_text())
    found = sorted(json.loads(outcome.out), key=lambda record: record["variant"])
    for record, own in zip(found, sorted(expected, key=lambda record: record["variant"]), strict=True):
        for name in ("variant", "parameters", "num_seeds"):
            assert record[name] == own[name]
        for name in ("val_score_mean", "val_score_std", "difference_mean", "p_value", "share_of_baseline"):
            assert record[name] == (own[name] and pytest.approx(own[name]))


@pytest.mark.slow
def test_runs_side_by_side_are_logged_by_the_process_that_shows_progress(
    minform: Command, tracker: str, read: Reader
) -> None:
    outcome = minform(*STUDY, "--seeds", "2", "--jobs", "2", "--log", tracker, "-q")
    assert (outcome.code, outcome.err) == (0, "")
    check_study(read(), tracker)


def test_a_study_whose_run_fails_says_which(minform: Command, tracker: str, read: Reader) -> None:
    patch = trip(3, NumericalError("a loss is not finite"))
    given = (*STUDY, "--seeds", "1", "--jobs", "1", "--log", tracker, "-q")
    assert minform(*given).code == 3
    patch.undo()
    failed = [run for run in read().values() if run.table is None and run.name != "study"]
    assert [run.state for run in failed] == ["failed"]
    if tracker == "mlflow":
        assert read()["study"].state == "failed"
    assert minform(*given).code == 0
    done = read()
    assert {run.state for run in done.values()} == {"finished"}
    assert len(done) == 3


def test_two_studies_do_not_share_runs(minform: Command, tracker: str, read: Reader) -> None:
    for out in ("one/study", "two/study"):
        assert minform("train", *LONGER, "--out", out, "--log", tracker, "-q").code == 0
    if tracker in ("tensorboard", "trackio"):
        assert len(read()) == 2
    else:
        with pytest.raises(AssertionError):  # two runs of one name
            read()


def test_a_log_that_fails_in_the_middle_is_said_once_and_costs_neither_the_run_nor_the_others(
    minform: Command, tracker: str, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TRACKERS.get(tracker).Tracker, "log", fail)
    other = "tensorboard" if tracker != "tensorboard" else "mlflow"
    pytest.importorskip(other)
    outcome = minform("train", *LONGER, "--out", "run", "--log", tracker, "--log", other, "-q")
    assert outcome.code == 0
    assert outcome.err == f"minform: --log {tracker} ends here: [Errno 28] No space left on device\n"
    check(only({name: run for name, run in READERS[other](offline).items() if run.history}), Path("run"))


def test_a_damaged_record_of_the_log_costs_the_connection_alone(minform: Command, tracker: str, offline: Path) -> None:
    given = ("train", *LONGER, "--out", "run", "--log", tracker, "-q")
    assert minform(*given).code == 0
    Path("run/tracking.jsonl").write_text("{\n3\n{}")
    outcome = minform(*given, "--resume")
    assert (outcome.code, outcome.err) == (0, "")


def test_the_weights_are_those_without_a_log(minform: Command, tracker: str, offline: Path) -> None:
    assert minform("train", *LONGER, "--out", "with", "--log", tracker, "-q").code == 0
    assert minform("train", *LONGER, "--out", "without", "-q").code == 0
    one, other = (json.loads(Path(name, "result.json").read_text()) for name in ("with", "without"))
    assert one["weights_sha256"] == other["weights_sha256"]
    assert one["metrics"] == other["metrics"]
    assert Path("with/metrics.jsonl").read_bytes() == Path("without/metrics.jsonl").read_bytes()


@pytest.mark.parametrize("name", TRACKERS.names())
@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_tracker_that_is_not_installed_is_said_before_anything_is_written(
    minform: Command, name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()  # as a tracker leaves it; no package
    monkeypatch.setattr("importlib.util.find_spec", lambda name: PathFinder.find_spec(name, [str(tmp_path)]))
    outcome = minform(command, *LONGER, "--out", "out", "--log", name)
    assert outcome.refusal == f"--log {name}: {name} is not installed; pip install 'minform[{name}]' brings it"
    assert not Path("out").exists()


def test_an_unknown_tracker_is_refused_with_the_nearest(minform: Command, tmp_path: Path) -> None:
    refusal = minform("train", *LONGER, "--out", str(tmp_path / "run"), "--log", "mlfow").refusal
    assert refusal == (
        "--log: unknown log 'mlfow'; did you mean 'mlflow'?; accepted: mlflow, tensorboard, trackio, wandb"
    )
    assert not (tmp_path / "run").exists()


def test_wandb_asks_for_no_account(minform: Command, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'minform[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "online")
    refusal = minform("train", *LONGER, "--out", "run", "--log", "wandb").refusal
    assert refusal.startswith("--log wandb: WANDB_MODE is online, and no API key is known; accepted: WANDB_API_KEY")
    assert not Path("run").exists()


def test_what_a_tracker_kept_elsewhere_it_does_not_look_for_here(
    minform: Command, offline: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path | None
) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'minform[mlflow]'")
    given = ("train", *LONGER, "--out", "run", "--log", "mlflow", "-q")
    assert minform(*given).code == 0
    elsewhere = offline / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(str(empty_store), elsewhere / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere / 'mlflow.db'}")
    assert minform(*given, "--resume").code == 0
    check(only(read_mlflow(elsewhere)), Path("run"))


@pytest.mark.slow
def test_a_killed_run_goes_on_in_the_same_log_without_a_point_twice(
    minform: Command, tracker: str, read: Reader, offline: Path
) -> None:
    given = ("train", *LONGER, "--set", "train.epochs=400", "--set", "train.checkpoint_every_s=0.1", "--out", "run")
    given = (*given, "--log", tracker, "-q")
    known = Path("run/tracking.jsonl")
    for most in (10, 200):
        running = subprocess.Popen(
            [sys.executable, "-m", "minform_cli", *given, "--resume"], env=environment(**os.environ), cwd=offline
        )
        until(
            lambda most=most, running=running: (
                running.poll() is not None or (known.is_file() and steps(known.read_text()) >= most)
            ),
            "steps that were logged",
        )
        running.kill()
        running.wait()
    assert minform(*given, "--resume").code == 0
    check(only(read()), Path("run"))


def steps(text: str) -> int:
    """The last step that a record of logs says was told."""
    found: list[str] = re.findall(r'"step": (\d+)', text)
    return int(found[-1]) if found else -1


@pytest.mark.slow
def test_of_several_processes_one_logs(tracker: str, read: Reader, offline: Path) -> None:
    given = ["train", *LONGER, "--out", "run", "--log", tracker, "--device", "cpu", "-q"]
    together = launch(offline / "process", given, given)
    assert together.codes() == [0, 0], together.printed()
    check(only(read()), Path("run"))
