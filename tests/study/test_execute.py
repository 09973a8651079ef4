"""Runs of a study, alone and side by side: results, failures, signals, and no process left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minform_cli.errors import InputError, MachineError, NumericalError
from minform_cli.runs.progress import Progress
from minform_cli.study.execute import execute
from minform_cli.study.plan import Plan, PlannedRun, plan_study
from minform_cli.study.summary import count_plan, summarise
from tests.study import trainers
from tests.waiting import HANGS_S, until

PAIR = ["no-mlp", "minimal"]

TIMES = ("seconds_per_epoch_mean", "predicted_per_s_mean")
"""What differs between equal runs."""


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Every process of the test carries a mark in its environment; none may outlive the test."""
    monkeypatch.setenv("MINFORM_TEST_MARK", str(tmp_path))
    yield
    left = marked(tmp_path)
    for number in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    assert left == []


def marked(mark: Path) -> list[int]:
    """Processes started with the mark in their environment, but for Python's own tracker of resources."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            own = f"MINFORM_TEST_MARK={mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
            alive = "State:\tZ" not in (folder / "status").read_text()
            if own and alive and b"resource_tracker" not in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def pair(out: Path, **settings: object) -> Plan:
    return plan_study(out, "debug", PAIR, [0], [f"train.{key}={value}" for key, value in settings.items()])


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_run_is_done_once_with_one_thread_and_results_come_in_the_plans_order(jobs: int, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", PAIR, [0, 1])
    heard: list[tuple[str, Progress]] = []
    results = execute(plan, jobs=jobs, on_progress=lambda run, p: heard.append((str(run), p)), trainer=trainers.quick)
    assert [(r["variant"], r["seed"]) for r in results] == [
        ("no-mlp", 0),
        ("no-mlp", 1),
        ("minimal", 0),
        ("minimal", 1),
    ]
    assert sorted(name for name, _ in heard) == sorted(str(run) for run in plan.runs)
    called = {(run.folder / "called").read_text() for run in plan.runs}
    assert called == {"resume=False device=auto threads=1"}
    processes = {progress.text for _, progress in heard}
    assert (str(os.getpid()) in processes) == (jobs == 1)
    assert len(processes) == jobs


def test_the_first_seed_of_every_variant_comes_before_the_second(tmp_path: Path) -> None:
    heard: list[str] = []
    plan = plan_study(tmp_path, "debug", PAIR, [0, 1])
    execute(plan, jobs=1, on_progress=lambda run, _: heard.append(str(run)), trainer=trainers.quick)
    assert heard == ["no-mlp, seed 0", "minimal, seed 0", "no-mlp, seed 1", "minimal, seed 1"]


def test_finished_runs_are_taken_and_never_repeated(tmp_path: Path) -> None:
    plan = pair(tmp_path)
    execute(plan, jobs=1, trainer=trainers.quick)
    again = dataclasses.replace(plan, runs=tuple(dataclasses.replace(run, finished=True) for run in plan.runs))
    heard: list[str] = []
    results = execute(again, on_progress=lambda run, p: heard.append(f"{run}: {p.text}"), trainer=trainers.broken)
    assert [result["variant"] for result in results] == PAIR
    assert heard[0] == "no-mlp, seed 0: finished before, taken as it is"


def test_a_result_is_reported_under_the_names_of_this_study(tmp_path: Path) -> None:
    plan = pair(tmp_path)
    execute(plan, jobs=1, trainer=trainers.quick)
    renamed = plan.runs[0].config.model_copy(update={"variant": "./no-mlp.yaml", "preset": "./debug.yaml"})
    run = PlannedRun(renamed, plan.source, plan.runs[0].folder, finished=True)
    (result,) = execute(dataclasses.replace(plan, runs=(run,)))
    assert (result["preset"], result["variant"]) == ("./debug.yaml", "./no-mlp.yaml")


def test_jobs_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--jobs: 0 is not a positive number"):
        execute(pair(tmp_path), jobs=0)


@pytest.mark.slow
def test_a_run_that_fails_names_itself_once_the_others_are_saved(tmp_path: Path) -> None:
    with pytest.raises(NumericalError, match=r"^no-mlp, seed 0: loss is not finite at step 7$"):
        execute(pair(tmp_path), jobs=2, trainer=trainers.diverging)
    assert (tmp_path / "minimal" / "seed-0" / "saved").exists()


def test_alone_too_a_run_that_fails_names_itself(tmp_path: Path) -> None:
    (tmp_path / "minimal" / "seed-0").mkdir(parents=True)
    plan = plan_study(tmp_path, "debug", ["no-mlp"], [0])
    (tmp_path / "minimal" / "seed-0" / "begun").touch()
    with pytest.raises(NumericalError, match=r"^no-mlp, seed 0: loss is not finite at step 7$"):
        execute(plan, jobs=1, trainer=trainers.diverging)


@pytest.mark.slow
def test_a_killed_process_is_named_once_the_others_are_saved(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"no-mlp, seed 0: its process was killed by SIGKILL.*fewer --jobs"):
        execute(pair(tmp_path), jobs=2, trainer=trainers.dying)
    assert (tmp_path / "minimal" / "seed-0" / "saved").exists()


@pytest.mark.slow
def test_a_bug_comes_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)an error of ours.*ZeroDivisionError: a bug of ours"):
        execute(pair(tmp_path), jobs=2, trainer=trainers.broken)


SCRIPT = """
import os, sys, types
from pathlib import Path
from minform_cli.errors import MinformError
from minform_cli.study import execute as execute_module, jobs
from minform_cli.study.execute import execute
from minform_cli.study.plan import plan_study
from minform_cli.training.interrupt import StopRequest
from tests.study import trainers

jobs._GRACE_S = 1e6  # whoever ought to leave at once and waits for the runs is found out
handle = StopRequest._handle

def noted(self, signum, frame):
    os.write(1, b"signal\\n")
    handle(self, signum, frame)

StopRequest._handle = noted

# Not guarded by __name__ == "__main__", as scripts of users need not be.
plan = plan_study(Path(sys.argv[1]), "debug", ["no-mlp", "minimal"], [0], ["train.epochs=10"])
trainer = getattr(trainers, sys.argv[2])
if trainer is not trainers.held:  # the others need no torch, and to import it takes longer than all the rest
    sys.modules["minform_cli.training.run"] = types.SimpleNamespace(train=None)
    execute_module._on_cpu = lambda device: True
tell = lambda run, progress: print(run, progress.kind, progress.epoch, flush=True)
try:
    execute(plan, jobs=2, trainer=trainer, on_progress=tell)
except MinformError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def study(tmp_path: Path) -> Iterator[list[str]]:
    """Command of a study of two jobs in `tmp_path`, in a session of its own as if in a terminal."""
    script = tmp_path / "study.py"
    script.write_text(SCRIPT)
    yield [sys.executable, str(script), str(tmp_path / "out")]


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background inherit "ignore"
    )


def await_files(*paths: Path) -> None:
    until(lambda: all(path.exists() for path in paths), str(paths))


def await_line(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    assert any(words in line for line in process.stdout), f"never said: {words}"


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_whole_group_lets_every_run_save_once(
    signum: signal.Signals, code: int, study: list[str], tmp_path: Path
) -> None:
    process = start([*study, "endless"])
    await_files(*(tmp_path / "out" / variant / "seed-0" / "begun" for variant in PAIR))
    os.killpg(process.pid, signum)
    if signum == signal.SIGTERM:  # as from a job scheduler, which tells every process there is
        for number in marked(tmp_path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signum) if number != process.pid else None
    _, errors = process.communicate(timeout=HANGS_S)
    assert process.returncode == code
    assert errors == (f"Interrupted: {signum.name}: stopped; the same command goes on from the last checkpoints\n")
    assert all((tmp_path / "out" / variant / "seed-0" / "saved").exists() for variant in PAIR)


@pytest.mark.slow
@pytest.mark.parametrize("hasty", [False, True], ids=["while saving", "right after the first"])
def test_a_second_ctrl_c_leaves_at_once(hasty: bool, study: list[str], tmp_path: Path) -> None:
    process = start([*study, "stubborn"])
    await_files(*(tmp_path / "out" / variant / "seed-0" / "begun" for variant in PAIR))
    os.killpg(process.pid, signal.SIGINT)
    if hasty:
        await_line(process, "signal")  # two signals without a pause are one to the kernel
    else:
        await_files(*(tmp_path / "out" / variant / "seed-0" / "saved" for variant in PAIR))
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=HANGS_S)
    assert process.returncode == 130


@pytest.mark.slow
def test_runs_save_themselves_and_end_when_the_parent_is_killed(study: list[str], tmp_path: Path) -> None:
    process = start([*study, "endless"])
    await_files(*(tmp_path / "out" / variant / "seed-0" / "begun" for variant in PAIR))
    process.kill()
    process.communicate(timeout=HANGS_S)
    await_files(*(tmp_path / "out" / variant / "seed-0" / "saved" for variant in PAIR))
    until(lambda: not marked(tmp_path), "the end of the runs")


def figures(out: Path, plan: Plan) -> list[dict[str, object]]:
    """The comparison without its times."""
    again = plan_study(out, "debug", list(plan.variants), list(plan.seeds), ["train.epochs=10"])
    assert all(run.finished for run in again.runs)
    records = summarise(count_plan(again), execute(again))
    return [{key: value for key, value in r.items() if key not in TIMES} for r in records]


@pytest.mark.slow
def test_a_study_stopped_by_ctrl_c_and_continued_equals_one_done_alone_to_the_byte(
    study: list[str], tmp_path: Path
) -> None:
    process = start([*study, "held"])
    await_line(process, " epoch ")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS_S)
    assert process.returncode == 130, errors
    plan = pair(tmp_path / "out", epochs=10)
    assert not all(run.finished for run in plan.runs), "the signal came too late to show anything"
    execute(pair(tmp_path / "out", epochs=10), jobs=1)  # the same bits whatever the number of jobs
    alone = pair(tmp_path / "alone", epochs=10)
    execute(alone, jobs=1)
    assert figures(tmp_path / "out", plan) == figures(tmp_path / "alone", alone)
    for run, other in zip(plan.runs, alone.runs, strict=True):
        weights = sorted(path.name for path in run.folder.glob("*.safetensors"))
        assert weights and weights == sorted(path.name for path in other.folder.glob("*.safetensors"))
        for name in [*weights, "metrics.jsonl"]:
            assert (run.folder / name).read_bytes() == (other.folder / name).read_bytes()
