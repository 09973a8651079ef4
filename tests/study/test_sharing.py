"""Two commands in one study folder share its runs by the locks of their folders, and nothing else."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from minform_cli.errors import InputError, MinformError, NumericalError
from minform_cli.files import RunFolder, write_json
from minform_cli.runs.folder import LOCK, InUseError, claimed
from minform_cli.runs.progress import Listener, Progress
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.study.comparison import run_comparison
from minform_cli.study.execute import execute
from minform_cli.study.options import StudyOptions
from minform_cli.study.plan import Plan, PlannedRun, plan_study
from minform_cli.study.record import read_record, write_record
from minform_cli.training.prepare import Prepared
from tests.report.records import result_record
from tests.training.killing import CONTEXT
from tests.training.launching import launch
from tests.waiting import HANGS_S, until

VARIANTS = ["no-mlp", "minimal"]
SETTINGS = ["data.limit=100", "train.epochs=5", "train.checkpoint_every_s=0"]


def noted(
    run: Prepared, out: Path, /, *, resume: bool, device: str, threads: int | None, on_progress: Listener | None
) -> None:
    """Trains, and notes that it did."""
    from minform_cli.training.run import train

    with (out.parent / f"starts of {out.name}").open("a") as file:
        file.write(f"resume={resume}\n")
    train(run, out, resume=resume, device=device, threads=threads, on_progress=on_progress)


def starts(plan: Plan) -> list[int]:
    return [len((run.folder.parent / f"starts of {run.folder.name}").read_text().splitlines()) for run in plan.runs]


def tiny(out: Path, seeds: tuple[int, ...] = (0, 1)) -> Plan:
    return plan_study(out, "debug", VARIANTS, seeds, ["data.limit=100", "train.epochs=1"])


def test_two_commands_do_every_run_once_and_both_have_all_results(tmp_path: Path) -> None:
    both, mine = threading.Barrier(2, timeout=HANGS_S), threading.local()
    heard: list[tuple[int, str, str]] = []

    def together(run: Prepared, out: Path, /, **rest: Any) -> None:
        if not hasattr(mine, "begun"):  # each has one run before either has a second
            mine.begun = both.wait()
        noted(run, out, **rest)

    def command(number: int) -> list[ResultRecord]:
        listen = lambda run, news: heard.append((number, str(run), news.kind))  # noqa: E731
        return execute(tiny(tmp_path), jobs=1, device="cpu", trainer=together, on_progress=listen)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(command, (0, 1))
    assert first == second
    assert [(result["variant"], result["seed"]) for result in first] == [(v, s) for v in VARIANTS for s in (0, 1)]
    assert starts(tiny(tmp_path)) == [1] * 4
    for number in (0, 1):  # each hears once of the end of every run, whoever did it
        done = sorted(name for who, name, kind in heard if (who, kind) == (number, "done"))
        assert done == sorted(str(run) for run in tiny(tmp_path).runs)


def test_a_folder_in_use_is_passed_over_and_done_once_it_is_free(tmp_path: Path) -> None:
    plan = tiny(tmp_path, (0,))
    busy = plan.runs[0]
    busy.folder.mkdir(parents=True)
    lock = FileLock(busy.folder / LOCK, thread_local=False)
    lock.acquire()
    heard: list[tuple[PlannedRun, Progress]] = []

    def free_it(run: PlannedRun, news: Progress) -> None:
        heard.append((run, news))
        if news.kind == "done" and run == plan.runs[1]:
            assert not RunFolder(busy.folder).meta.exists()
            lock.release()

    assert len(execute(plan, jobs=1, device="cpu", on_progress=free_it)) == 2
    told = [news.text for run, news in heard if run == busy and news.kind == "note" and "another process" in news.text]
    assert told == ["another process trains it; here it is taken once it is finished, or done if that one ends"]
    assert [run for run, news in heard if news.kind == "done"] == [plan.runs[1], busy]


def test_what_another_command_made_of_other_settings_is_refused(tmp_path: Path) -> None:
    plan, other = tiny(tmp_path, (0,)), plan_study(tmp_path, "debug", VARIANTS, [0], ["train.epochs=2"])
    execute(plan, jobs=1, device="cpu")
    with pytest.raises(InputError, match=r"no-mlp, seed 0: .* is another run: data.limit is 100 there and 200 here"):
        execute(other, jobs=1, device="cpu")


def test_whoever_has_claimed_a_folder_may_claim_it_again_and_nobody_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    def refused() -> bool:
        try:
            with claimed(folder):
                return False
        except InUseError:
            return True

    with ThreadPoolExecutor(1) as other, claimed(folder):
        with claimed(folder):
            assert other.submit(refused).result()
        assert other.submit(refused).result()
    assert not refused()


def test_a_failure_of_one_command_leaves_the_run_to_the_other(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", ["minimal"], [0])
    begun, failed = threading.Event(), threading.Event()

    def fails(run: Prepared, out: Path, /, **rest: Any) -> None:
        begun.set()
        assert failed.wait(HANGS_S)
        raise NumericalError("loss is not finite at step 7")

    def passed_over(run: PlannedRun, news: Progress) -> None:
        if "another process" in news.text:
            failed.set()

    def works(run: Prepared, out: Path, /, **rest: Any) -> None:
        write_json(RunFolder(out).result, result_record(run.config.variant, run.config.seed))

    def ends(trainer: Callable[..., None]) -> list[ResultRecord] | MinformError:
        try:
            return execute(plan, jobs=1, device="cpu", trainer=trainer, on_progress=passed_over)
        except MinformError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ends, fails)
        assert begun.wait(HANGS_S)
        second = pool.submit(ends, works)
    assert str(first.result()) == "minimal, seed 0: loss is not finite at step 7"
    assert isinstance(results := second.result(), list) and len(results) == 1


def _killed(out: Path) -> None:
    """A command of its own, killed in its first run once the other command has found its folder in use."""

    def tell(run: PlannedRun, news: Progress) -> None:
        if news.kind == "epoch" and news.epoch == 3:
            until((out / "waits").exists, "the other command")
            os.kill(os.getpid(), signal.SIGKILL)

    execute(plan_study(out, "debug", VARIANTS, [0], SETTINGS), jobs=1, device="cpu", on_progress=tell)


@pytest.mark.slow
def test_the_lock_of_a_killed_command_dies_with_it_and_the_other_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    victim = CONTEXT.Process(target=_killed, args=(shared,), daemon=True)
    victim.start()
    until((shared / "no-mlp" / "seed-0" / "checkpoint.json").exists, "a checkpoint of the first")
    heard: list[str] = []

    def tell(run: PlannedRun, news: Progress) -> None:
        heard.append(f"{run}: {news.text}")
        if "another process" in news.text:
            (shared / "waits").touch()

    execute(plan_study(shared, "debug", VARIANTS, [0], SETTINGS), jobs=1, device="cpu", on_progress=tell)
    victim.join(HANGS_S)
    assert victim.exitcode == -signal.SIGKILL
    assert any(line.startswith("no-mlp, seed 0: going on from step ") for line in heard)
    plan = plan_study(alone, "debug", VARIANTS, [0], SETTINGS)
    execute(plan, jobs=1, device="cpu")
    for run in plan.runs:
        there, own = shared / run.folder.relative_to(alone), read_result(run.folder)
        assert read_result(there)["metrics"] == own["metrics"]
        assert read_result(there)["weights_sha256"] == own["weights_sha256"]
        assert (there / "metrics.jsonl").read_bytes() == (run.folder / "metrics.jsonl").read_bytes()


def test_torchrun_is_refused_by_one_line_of_one_process(tmp_path: Path) -> None:
    command = ["compare", "--preset", "debug", "--out", str(tmp_path / "study")]
    launched = launch(tmp_path / "process", command, command)
    assert launched.codes() == [2, 2]
    first, second = launched.printed()
    assert first == (
        "minform: compare: the 2 processes of torchrun are for one model, and a study trains many; accepted: without "
        "torchrun, on several machines with --engine ray\n"
    )
    assert second == "" and launched.printed("stdout") == ["", ""]
    assert not (tmp_path / "study").exists()


def test_commands_of_other_variants_that_begin_at_the_same_moment_end_in_one_study(tmp_path: Path) -> None:
    """The second writes what it will do before the first has begun a run, and so keeps nothing of it."""
    out, settings = tmp_path / "study", ["data.limit=100", "train.epochs=1"]
    first, second = (plan_study(out, "debug", [name], [0], settings) for name in VARIANTS)
    came: list[Progress] = []

    def tell(_run: PlannedRun, news: Progress) -> None:
        if not came:
            write_record(out, second.record())
        came.append(news)

    run_comparison(first, StudyOptions(jobs=1, device="cpu"), on_progress=tell)
    assert came and [entry.variant for entry in read_record(out).runs] == ["no-mlp"]
    run_comparison(second, StudyOptions(jobs=1, device="cpu"))
    assert {entry.variant for entry in read_record(out).runs} == set(VARIANTS)
