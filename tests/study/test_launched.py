"""Processes that share a study, killed ones among them: the same bits as by one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from minform_cli.runs.records import read_result
from minform_cli.study.execute import execute
from minform_cli.study.plan import Plan, plan_study
from tests.study.conftest import VARIANTS, free_port
from tests.training.launching import scripts
from tests.waiting import HANGS_S

SCRIPT = """
import os, signal, sys
from pathlib import Path
from minform_cli.errors import MinformError
from minform_cli.study.execute import execute
from minform_cli.study.plan import plan_study
from minform_cli.study.queue import Pace
from minform_cli.training.launch import launched

def tell(run, news):
    print(f"{os.getpid()} {news.kind} {run}: {news.text}", flush=True)
    if mode == f"kill {os.environ['RANK']}" and news.kind == "epoch" and news.epoch == 3 and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)

out, mode = Path(sys.argv[1]), sys.argv[2]
killed = out / "killed"
plan = plan_study(out, "debug", ["no-mlp", "minimal"], [0, 1], sys.argv[3:])
try:
    results = execute(plan, device="cpu", launch=launched(), pace=Pace(0.1, 10.0, 0.05), on_progress=tell)
except MinformError as error:
    print(f"error {error}", flush=True)
    sys.exit(error.exit_code)
if results is not None:
    print("reports", len(results), flush=True)
"""
SETTINGS = ["data.limit=100", "train.epochs=5", "train.checkpoint_every_s=0"]


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    path = tmp_path / "study.py"
    path.write_text(SCRIPT)
    return [str(path), str(tmp_path / "shared")]


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "FATAL"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The same study, done by one process that nothing happened to."""
    plan = plan_study(tmp_path_factory.mktemp("alone"), "debug", VARIANTS, [0, 1], SETTINGS)
    execute(plan, jobs=1, device="cpu")
    return plan


def assert_equal_to_the_bit(folder: Path, alone: Plan) -> None:
    for run in alone.runs:
        shared, own = folder / run.folder.relative_to(alone.out), read_result(run.folder)
        assert read_result(shared)["metrics"] == own["metrics"]
        assert read_result(shared)["weights_sha256"] == own["weights_sha256"]
        assert (shared / "metrics.jsonl").read_bytes() == (run.folder / "metrics.jsonl").read_bytes()


def finished_once(output: str) -> bool:
    """Whether every run was finished by exactly one process: "done" is said by it and heard by others, but each of
    those once."""
    done = [line for line in output.splitlines() if " done " in line]
    return len(done) == len(set(done))


@pytest.mark.slow
@pytest.mark.parametrize(("world_size", "victim"), [(2, 1), (3, 0)])
def test_a_process_killed_midway_changes_nothing_but_the_time(
    world_size: int, victim: int, agent: list[TCPStore], script: list[str], undisturbed: Plan, tmp_path: Path
) -> None:
    launched = scripts(tmp_path / "process", world_size, agent[0].port, *script, f"kill {victim}", *SETTINGS)
    launched.processes[victim].join(HANGS_S)
    early = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.glob("shared/*/*/result.json")}
    codes, outputs = launched.codes(), launched.printed("stdout")
    assert codes == [-signal.SIGKILL if rank == victim else 0 for rank in range(world_size)], outputs
    assert "taken over from rank" in "".join(outputs)
    assert "going on from step" in "".join(outputs)
    assert [output.count("reports 4") for output in outputs] == [
        int(rank == (1 if victim == 0 else 0)) for rank in range(world_size)
    ]
    assert early == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in early}
    assert all(finished_once(output) for output in outputs)
    assert_equal_to_the_bit(tmp_path / "shared", undisturbed)


@pytest.mark.slow
def test_torchrun_restarts_a_killed_worker_and_the_study_goes_on(
    script: list[str], undisturbed: Plan, tmp_path: Path
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    master = ["--master-addr", "localhost", "--master-port", str(free_port())]
    done = subprocess.run(
        [*torchrun, *master, *script, "kill 1", *SETTINGS],
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "shared" / "killed").exists()
    assert "going on from step" in done.stdout
    assert "error SIGTERM: stopped; the same command goes on from the last checkpoints" in done.stdout
    assert done.stdout.count("reports 4") == 1
    assert_equal_to_the_bit(tmp_path / "shared", undisturbed)
