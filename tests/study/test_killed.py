"""kill -9 at random moments of a study, then the same command again: the final table is an undisturbed one's."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.commands import environment
from tests.waiting import HANGS_S, until

NUM_KILLS = int(os.environ.get("MINFORM_KILLS", "2"))

TIMES = ("seconds_per_epoch_mean", "predicted_per_s_mean")
"""What differs between equal runs."""

STUDY = [
    *("compare", "--preset", "debug", "--variant", "baseline", "--variant", "minimal", "--seeds", "2"),
    *("--set", f"train.epochs={120 + 40 * NUM_KILLS}", "--set", "train.checkpoint_every_s=0.2", "--format", "json"),
]


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "minform_cli", *STUDY, "--out", str(out), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def table(out: Path, *more: str) -> list[dict[str, object]]:
    """The study's records without times, once it is finished."""
    output, errors = start(out, *more).communicate(timeout=HANGS_S)
    records = json.loads(output or errors)
    return [{key: value for key, value in record.items() if key not in TIMES} for record in records]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")
def test_a_study_killed_at_random_moments_ends_with_the_table_of_an_undisturbed_one(tmp_path: Path) -> None:
    rng = random.Random("moments")
    killed, landed = tmp_path / "killed", 0
    while landed < NUM_KILLS:
        process = start(killed)
        longest = 6.0  # importing and training
        while not any(killed.glob("*/*/metrics.jsonl")) and process.poll() is None:
            time.sleep(0.02)  # importing takes most of the time at first, and a kill there shows nothing
            longest = 1.5  # of training alone: the study must not be over by then
        time.sleep(rng.uniform(0, longest))
        everyone = family(process.pid)
        for number in everyone if rng.random() < 0.7 else everyone[:1]:  # else the runs see it die, and save themselves
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.communicate(timeout=HANGS_S)
        until(lambda everyone=everyone: not any(map(alive, everyone)), "the end of the runs")
        landed += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break  # over before the kill came
    print(f"{landed} kills")
    assert landed >= NUM_KILLS / 2, "the study was over before most of the kills"
    assert table(killed) == table(tmp_path / "undisturbed", "--jobs", "1")
    for result in killed.glob("*/*/result.json"):
        there = json.loads((tmp_path / "undisturbed" / result.relative_to(killed)).read_text())
        assert json.loads(result.read_text())["weights_sha256"] == there["weights_sha256"]
