"""A whole study with threads in place of processes, stand-ins for training, and torch's own store."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from torch.distributed import TCPStore

from minform_cli.errors import InputError, MachineError, MinformError, NumericalError
from minform_cli.files import RunFolder, write_json
from minform_cli.runs.folder import LOCK
from minform_cli.runs.progress import Listener, Progress
from minform_cli.runs.records import ResultRecord
from minform_cli.study import queue as study_queue
from minform_cli.study.execute import execute
from minform_cli.study.plan import Plan, PlannedRun, plan_study
from minform_cli.study.queue import MAX_DEATHS, Queue
from minform_cli.training.launch import Launch
from minform_cli.training.prepare import Prepared
from tests.report.records import result_record
from tests.study.conftest import PATIENT, QUICK, VARIANTS, free_port
from tests.study.test_queue import silenced, taken
from tests.waiting import HANGS_S, until


def steps(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """Some steps, then a result; notes each start and each save."""
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / LOCK, timeout=0):
        with (out / "starts").open("a") as file:
            file.write(f"resume={resume} device={device} threads={threads}\n")
        try:
            for step in range(int(os.environ.get("STEPS", "5"))):
                assert on_progress is not None
                on_progress(Progress("step", step=step))
                time.sleep(0.01)
        except MinformError:
            (out / "saved").touch()
            raise
        write_json(RunFolder(out).result, result_record(run.config.variant, run.config.seed))


def share(
    plan: Plan,
    world_size: int,
    port: int,
    trainer: Callable[..., None] = steps,
    on_progress: Callable[[int, PlannedRun, Progress], None] = lambda rank, run, news: None,
) -> list[Future[list[ResultRecord] | None]]:
    """What `execute` gives in each of `world_size` processes of a launch."""

    def member(rank: int) -> list[ResultRecord] | None:
        launch = Launch(rank, world_size, rank, "localhost", port)
        listen = lambda run, news: on_progress(rank, run, news)  # noqa: E731
        return execute(plan, device="cpu", launch=launch, pace=PATIENT, trainer=trainer, on_progress=listen)

    with ThreadPoolExecutor(world_size) as pool:
        return [pool.submit(member, rank) for rank in range(world_size)]


def starts(plan: Plan) -> list[int]:
    return [len((run.folder / "starts").read_text().splitlines()) for run in plan.runs]


@pytest.mark.parametrize("hosted", [True, False], ids=["torchrun's store", "rank 0's store"])
def test_every_run_is_done_once_and_rank_0_reports(
    hosted: bool, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = request.getfixturevalue("agent")[0].port if hosted else free_port()
    plan = plan_study(tmp_path, "debug", VARIANTS, [0, 1, 2])
    heard: list[tuple[int, str]] = []
    told = lambda rank, run, news: heard.append((rank, str(run))) if news.kind == "done" else None  # noqa: E731
    all_have_one, mine = threading.Barrier(3, timeout=HANGS_S), threading.local()

    def fair(run: Prepared, out: Path, /, **rest: Any) -> None:
        if not hasattr(mine, "begun"):
            mine.begun = all_have_one.wait()
        steps(run, out, **rest)

    results = [future.result() for future in share(plan, 3, port, fair, told)]
    assert starts(plan) == [1] * 6
    assert {(run.folder / "starts").read_text() for run in plan.runs} == {"resume=False device=cpu threads=1\n"}
    assert results[1:] == [None, None]
    assert results[0] is not None
    assert [(r["variant"], r["seed"]) for r in results[0]] == [(v, s) for v in VARIANTS for s in (0, 1, 2)]
    # The stand-in says no "done" of its own: rank 0 hears of the others' runs, and once of each.
    others = [name for rank, name in heard if rank == 0]
    assert len(others) == len(set(others)) < 6
    assert sorted(name for _, name in heard) == sorted(2 * [str(run) for run in plan.runs])


def test_finished_runs_are_taken_as_they_are(agent: list[TCPStore], tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", VARIANTS, [0])
    execute(plan, jobs=1, trainer=lambda run, out, **rest: steps(run, out, **rest))
    before = [RunFolder(run.folder).result.stat().st_mtime_ns for run in plan.runs]
    again = dataclasses.replace(plan, runs=(dataclasses.replace(plan.runs[0], finished=True), plan.runs[1]))
    results = [future.result() for future in share(again, 2, agent[0].port)]
    assert [r["variant"] for r in results[0] or []] == VARIANTS and results[1] is None
    assert starts(plan) == [1, 1]  # nor the one that was finished after the plan was made
    assert [RunFolder(run.folder).result.stat().st_mtime_ns for run in plan.runs] == before


def test_a_failure_ends_all_with_its_exit_code_and_one_says_why(
    agent: list[TCPStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPS", "100000")
    begun = tmp_path / "minimal" / "seed-0" / "starts"

    def diverging(run: Prepared, out: Path, /, **rest: Any) -> None:
        if run.config.variant == "no-mlp":
            until(begun.exists, "the other run")
            raise NumericalError("loss is not finite at step 7")
        steps(run, out, **rest)

    plan = plan_study(tmp_path, "debug", VARIANTS, [0])
    errors = [future.exception() for future in share(plan, 3, agent[0].port, diverging)]
    assert all(isinstance(error, NumericalError) for error in errors)
    texts = sorted(str(error) for error in errors)
    assert texts[0] == "no-mlp, seed 0: loss is not finite at step 7"
    assert texts[1] == texts[2] and texts[1].startswith("stopped and saved, as no-mlp, seed 0 failed: rank ")
    assert (begun.parent / "saved").exists()


def test_a_bug_ends_all_with_exit_code_1(agent: list[TCPStore], tmp_path: Path) -> None:
    def broken(run: Prepared, out: Path, /, **rest: Any) -> None:
        raise ZeroDivisionError("a bug of ours")

    plan = plan_study(tmp_path, "debug", VARIANTS, [0])
    errors = [future.exception() for future in share(plan, 2, agent[0].port, broken)]
    assert sorted(type(error).__name__ for error in errors) == ["MinformError", "ZeroDivisionError"]
    assert {getattr(error, "exit_code", 1) for error in errors} == {1}


def test_a_run_that_kills_its_processes_is_given_up_by_name(agent: list[TCPStore], tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", ["minimal"], [0])
    launch = Launch(1, 2, 1, "localhost", agent[0].port)
    for _ in range(MAX_DEATHS):  # each time restarted, and as good as killed once more
        killed = silenced(Queue(study_queue.open_store(launch, plan), launch, 1, QUICK))
        assert taken(killed) == 0
    errors = [future.exception() for future in share(plan, 2, agent[0].port)]
    assert [type(error) for error in errors] == [MachineError, MachineError]
    given_up = "minimal, seed 0: given up, as 3 processes died while they did it"
    assert [str(error).startswith(given_up) for error in errors].count(True) == 1
    assert not plan.runs[0].folder.exists()


def test_a_folder_in_use_is_left_alone_until_it_is_free(agent: list[TCPStore], tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", VARIANTS, [0])
    busy = plan.runs[0].folder
    busy.mkdir(parents=True)
    lock = FileLock(busy / LOCK, thread_local=False)
    lock.acquire()
    done: list[str] = []

    def free_it(rank: int, run: PlannedRun, news: Progress) -> None:
        if news.kind == "done" and run == plan.runs[1]:
            done.append(str(run))
            assert not (busy / "starts").exists()
            lock.release()

    outcomes = share(plan, 2, agent[0].port, on_progress=free_it)
    assert len(outcomes[0].result() or []) == 2
    assert done == ["minimal, seed 0"]
    assert starts(plan) == [1, 1]


def test_without_its_store_every_process_saves_and_says_so(
    agent: list[TCPStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPS", "100000")
    plan = plan_study(tmp_path, "debug", VARIANTS, [0])
    port = agent[0].port

    def end_it() -> None:
        until(lambda: all((run.folder / "starts").exists() for run in plan.runs), "two runs")
        agent.clear()

    ending = threading.Thread(target=end_it)
    ending.start()
    errors = [future.exception() for future in share(plan, 2, port)]
    ending.join()
    assert [type(error) for error in errors] == [MachineError, MachineError]
    assert str(errors[0]).startswith(
        f"the launch's store at localhost:{port} is gone: rank 0 or torchrun's agent ended"
    )
    assert all((run.folder / "saved").exists() for run in plan.runs)


def test_a_store_that_never_appears_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_queue, "_CONNECT", study_queue.timedelta(seconds=0.3))
    port = free_port()
    plan = plan_study(tmp_path, "debug", ["minimal"], [0])
    with pytest.raises(MachineError, match=rf"store at localhost:{port} \(MASTER_ADDR, MASTER_PORT\) cannot be opened"):
        execute(plan, device="cpu", launch=Launch(1, 2, 1, "localhost", port), pace=QUICK, trainer=steps)


def test_jobs_belong_to_one_process(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", ["minimal"], [0])
    with pytest.raises(InputError, match="--jobs 2: each process of a launch does one run at a time"):
        execute(plan, jobs=2, launch=Launch(0, 1, 0, "localhost", 1))


@pytest.mark.parametrize(("asked", "given"), [("auto", "cuda:1"), ("cuda", "cuda:1"), ("cuda:0", "cuda:0")])
def test_every_process_has_its_own_gpu_unless_one_is_named(
    asked: str, given: str, agent: list[TCPStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    plan = plan_study(tmp_path, "debug", ["minimal"], [0])
    launch = Launch(0, 1, 3, "localhost", agent[0].port)
    execute(plan, device=asked, launch=launch, pace=QUICK, trainer=steps)
    assert (plan.runs[0].folder / "starts").read_text() == f"resume=False device={given} threads=None\n"
