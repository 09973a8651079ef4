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

from tests.cli.commands import Command, environment
from tests.soak.scale import reached, seed, tries
from tests.waiting import HANGS_S, until

NUM_KILLS = tries(2)

TIMES = ("seconds_per_epoch_mean", "predicted_per_s_mean")
"""What differs between equal runs."""

STUDY = [
    *("compare", "--preset", "debug", "--variant", "baseline", "--variant", "minimal", "--seeds", "2"),
    *("--set", "train.epochs=30", "--set", "train.checkpoint_every_s=0", "--format", "json"),
]

COMMAND = """
import sys, threading
from pathlib import Path
from minform_cli.cli import main
from minform_cli.study.jobs import Jobs

ready, left = Path(sys.argv.pop(1)), int(sys.argv.pop(1))
hear = Jobs._hear

def counted(self, process, turns):
    # Hands out no further run from then on: what a run is killed in, it cannot be over before.
    global left
    hear(self, process, turns)
    left -= 1
    if left <= 0:
        ready.touch()
        threading.Event().wait()

Jobs._hear = counted
main()
"""
"""The command line, which after so much news touches a file and waits there while its runs go on."""


def start(out: Path, ready: Path, news: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(ready), str(news), *STUDY, "--out", str(out), "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
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


def table(minform: Command, out: Path) -> list[dict[str, object]]:
    """The study's records without times, once it is finished."""
    records = json.loads(minform(*STUDY, "--out", str(out), "--jobs", "1", "-q").out)
    return [{key: value for key, value in record.items() if key not in TIMES} for record in records]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")
def test_a_study_killed_at_random_moments_ends_with_the_table_of_an_undisturbed_one(
    minform: Command, tmp_path: Path
) -> None:
    rng, killed, landed = random.Random(f"moments {seed()}"), tmp_path / "killed", 0
    for kill in range(NUM_KILLS):
        ready = tmp_path / f"ready {kill}"
        process = start(killed, ready, rng.randint(1, 12))
        until(lambda ready=ready, process=process: ready.exists() or process.poll() is not None, "news of a run")
        time.sleep(rng.uniform(0, 0.2))
        everyone = family(process.pid)
        for number in everyone[:1] if kill % 2 else everyone:  # else the runs see it die, and save themselves
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        landed += process.wait(HANGS_S) == -signal.SIGKILL
        assert landed > kill or kill > 1, "the study was over before the kill"
        until(lambda everyone=everyone: not any(map(alive, everyone)), "the end of the runs")
    assert table(minform, killed) == table(minform, tmp_path / "undisturbed")
    for result in killed.glob("*/*/result.json"):
        there = json.loads((tmp_path / "undisturbed" / result.relative_to(killed)).read_text())
        assert json.loads(result.read_text())["weights_sha256"] == there["weights_sha256"]
    reached("R1-studies", landed)
