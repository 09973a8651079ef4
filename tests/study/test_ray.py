"""Runs as Ray tasks: the bits of `--jobs 1`, nodes that die, signals, refusals, and no process left behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from minform_cli.errors import InputError, NumericalError
from minform_cli.runs.records import read_result
from minform_cli.study import execute as execute_module
from minform_cli.study.execute import execute
from minform_cli.study.on_ray import _needs
from minform_cli.study.options import OnRay
from minform_cli.study.plan import Plan, PlannedRun, plan_study
from minform_cli.study.summary import count_plan, summarise
from minform_cli.study.worker import Worker
from tests.cli.commands import Command, environment
from tests.study import trainers
from tests.study.test_execute import TIMES, marked
from tests.waiting import HANGS_S, until

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")

PAIR = ["no-mlp", "minimal"]
SETTINGS = ["data.limit=200", "train.batch_size=64", "train.epochs=3"]
COMMAND = [sys.executable, "-m", "minform_cli"]


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Every process of the test carries a mark in its environment; none may outlive the test."""
    monkeypatch.setenv("MINFORM_TEST_MARK", str(tmp_path))
    yield
    until(lambda: not marked(tmp_path), "the end of Ray's processes")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster on this machine: a head without a processor, and two nodes of one each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield made, [made.add_node(num_cpus=1, wait=False), made.add_node(num_cpus=1)]
    finally:
        made.shutdown()


def planned(out: Path) -> Plan:
    return plan_study(out, "debug", PAIR, [0], SETTINGS)


def figures(plan: Plan) -> list[dict[str, object]]:
    """The final table without its times."""
    records = summarise(count_plan(plan), [read_result(run.folder) for run in plan.runs])
    return [{key: value for key, value in record.items() if key not in TIMES} for record in records]


def steps_of(run: PlannedRun) -> list[int]:
    """The steps that were taken, by whichever process."""
    lines = [line.split(" ", 1) for line in (run.folder.parent / "steps").read_text().splitlines()]
    assert {rest for _, rest in lines} == {"device=cpu threads=1"}
    return [int(number) for number, _ in lines]


@needs_ray
@pytest.mark.slow
def test_a_node_removed_between_two_checkpoints_costs_the_steps_since_the_last_and_no_bit(
    cluster: tuple[Any, list[Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made, nodes = cluster
    plan, alone = planned(tmp_path / "ray"), planned(tmp_path / "alone")
    held = tmp_path / "ray" / "no-mlp" / "held"

    def remove() -> None:
        until(lambda: held.is_file() and bool(held.read_text()), "a run between two checkpoints")
        made.remove_node(next(node for node in nodes if node.node_id == held.read_text()), allow_graceful=False)

    heard: list[tuple[str, str, str]] = []
    capfd.readouterr()
    with ThreadPoolExecutor(1) as beside:
        removed = beside.submit(remove)
        execute(
            plan,
            on_progress=lambda run, news: heard.append((str(run), news.kind, news.text)),
            trainer=trainers.counting,
            on_ray=OnRay(made.address),
        )
        removed.result()
    assert capfd.readouterr() == ("", "")  # of the node that died and the task that was tried again, nothing
    execute(alone, jobs=1, device="cpu")
    last, before = trainers.SAVED_EVERY, list(range(trainers.HELD_AT))
    every = list(range(int(read_result(alone.runs[0].folder)["steps"])))
    assert steps_of(plan.runs[0]) == [
        *before,
        *every[last:],
    ]  # none beyond the checkpoint is taken again but those lost
    assert steps_of(plan.runs[1]) == every
    assert ("no-mlp, seed 0", "note", f"going on from step {last}") in heard
    assert sorted(name for name, kind, _ in heard if kind == "done") == sorted(str(run) for run in plan.runs)
    assert figures(plan) == figures(alone)
    for run, other in zip(plan.runs, alone.runs, strict=True):
        assert read_result(run.folder)["metrics"] == read_result(other.folder)["metrics"]
        assert read_result(run.folder)["weights_sha256"] == read_result(other.folder)["weights_sha256"]
        assert (run.folder / "metrics.jsonl").read_bytes() == (other.folder / "metrics.jsonl").read_bytes()


@needs_ray
@pytest.mark.slow
def test_ctrl_c_cancels_the_runs_which_save_themselves_and_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "study"
    settings = ["--set", "train.epochs=100000", "--variant", "no-mlp", "--variant", "minimal", "--seeds", "1"]
    process = subprocess.Popen(
        [*COMMAND, "compare", "--preset", "debug", *settings, "--engine", "ray", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"MINFORM_TEST_MARK": str(tmp_path)},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background inherit "ignore"
    )
    folders = [out / variant / "seed-0" for variant in PAIR[: len(os.sched_getaffinity(0))]]
    until(lambda: all((folder / "metrics.jsonl").is_file() for folder in folders), "epochs of all runs")
    assert not any((folder / "checkpoint.json").exists() for folder in folders)
    os.killpg(process.pid, signal.SIGINT)
    printed, said = process.communicate(timeout=HANGS_S)
    assert (process.returncode, printed) == (130, "")
    assert said.splitlines()[-1] == "minform: SIGINT: stopped; the same command goes on from the last checkpoints"
    assert all((folder / "checkpoint.json").is_file() for folder in folders)


@needs_ray
@pytest.mark.slow
def test_a_run_that_fails_or_dies_is_named_once_the_others_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute_module, "num_cores", lambda: 2)
    plan = plan_study(tmp_path / "failing", "debug", PAIR, [0])
    with pytest.raises(NumericalError, match=r"^no-mlp, seed 0: loss is not finite at step 7$"):
        execute(plan, device="cpu", trainer=trainers.diverging, on_ray=OnRay())
    assert (plan.runs[1].folder / "saved").exists()


class Nodes:
    """A cluster of which nothing is asked but what its nodes have."""

    def __init__(self, *resources: dict[str, float]) -> None:
        self._resources = resources

    def nodes(self) -> list[dict[str, Any]]:
        gone = {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 99.0}}
        return [gone, *({"Alive": True, "Resources": has} for has in self._resources)]


@pytest.mark.parametrize(
    ("device", "share", "threads", "given", "needs", "room"),
    [
        ("auto", None, None, ("cuda", None), {"num_cpus": 1, "num_gpus": 1}, 2),
        ("auto", 0.5, None, ("cuda", None), {"num_cpus": 1, "num_gpus": 0.5}, 4),
        ("cuda", 2, 4, ("cuda", 4), {"num_cpus": 4, "num_gpus": 2}, 1),
        ("cpu", None, None, ("cpu", 1), {"num_cpus": 1}, 10),
        ("cpu", None, 4, ("cpu", 4), {"num_cpus": 4}, 2),
    ],
)
def test_a_run_has_the_processors_and_gpus_that_it_needs_and_as_many_go_side_by_side_as_there_is_room_for(
    device: str,
    share: float | None,
    threads: int | None,
    given: tuple[str, int | None],
    needs: dict[str, float],
    room: int,
) -> None:
    nodes = Nodes({"CPU": 2.0}, {"CPU": 8.0, "GPU": 2.0})
    worker, asked, found = _needs(nodes, OnRay(None, share), Worker(trainers.quick, device, threads))
    assert ((worker.device, worker.threads), asked, found) == (given, needs, room)


@pytest.mark.parametrize(
    ("device", "share", "threads", "said"),
    [
        ("cuda", None, None, "--engine ray: no node of the Ray cluster has the 1 GPUs (--gpus-per-run) and 1 CPUs"),
        ("auto", 0.5, None, "--gpus-per-run: no node of the Ray cluster has a GPU"),
        ("auto", None, 9, "--engine ray: no node of the Ray cluster has the 9 CPUs (--threads) that a run needs"),
    ],
)
def test_what_no_node_has_is_refused_and_not_waited_for(
    device: str, share: float | None, threads: int | None, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        _needs(Nodes({"CPU": 8.0}), OnRay(None, share), Worker(trainers.quick, device, threads))
    assert str(caught.value).startswith(said)


REFUSED = {
    "--engine ray --jobs 2": "--jobs 2: Ray does as many runs at a time as it has room for; accepted: no --jobs",
    "--engine ray --stack-seeds": "--stack-seeds: one process trains all seeds; accepted: without --engine ray",
    "--address auto": "--address auto: has no meaning without --engine ray",
    "--gpus-per-run 0.5": "--gpus-per-run 0.5: has no meaning without --engine ray",
    "--engine rya": "--engine: unknown engine 'rya'; did you mean 'ray'?; accepted: processes, ray",
    "--engine ray --device cuda:1": "--device cuda:1: Ray gives each run its device; accepted: auto, cpu, cuda",
    "--engine ray --gpus-per-run 1.5": "--gpus-per-run: expected a fraction of one GPU or a whole number of them, not ",
    "--engine ray --gpus-per-run 0.5 --device cpu": "--gpus-per-run: has no meaning with --device cpu",
    "--engine ray --address ray://head:10001": "--address ray://head:10001: this process itself must be on a node",
    "--engine ray --dry-run": "--dry-run: measures on this machine; accepted: without --engine ray",
}


@pytest.mark.parametrize("options", REFUSED)
def test_options_that_make_no_sense_together_are_refused_in_one_line(
    options: str, minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # as if it were installed
    outcome = minform("compare", *options.split(), "--out", str(tmp_path / "study"))
    assert outcome.refusal.startswith(REFUSED[options])
    assert not (tmp_path / "study").exists()


def test_without_ray_a_line_says_what_to_install(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    outcome = minform("compare", "--engine", "ray", "--out", str(tmp_path / "study"))
    assert outcome.refusal == "--engine ray: ray is not installed; pip install 'minform[ray]' brings it"
    assert not (tmp_path / "study").exists()
