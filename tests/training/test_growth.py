"""A long run takes no more memory than a short one: nothing is kept of an epoch but its line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import environment
from tests.waiting import HANGS_S

STATUS = Path("/proc/self/status")

# One step an epoch.
SCRIPT = r"""
import re, sys
from pathlib import Path
from minform_cli.config.presets import resolve
from minform_cli.training.run import train

settings = ["data.limit=20", "train.batch_size=20", "train.warmup_epochs=0", "train.eval_batch_size=500"]
settings += ["model.depth=1", "train.epochs=" + sys.argv[2], *sys.argv[4:]]

def tell(news):
    if news.kind == "epoch" and str(news.epoch) in sys.argv[1:3]:
        resident = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
        print(resident.group(1), flush=True)

train(resolve("debug", settings=settings).config, Path(sys.argv[3]), device="cpu", threads=1, on_progress=tell)
"""


def grown_kb(first: int, last: int, out: Path, *settings: str) -> int:
    """By how much resident memory of a process that trains has grown from one epoch to another."""
    words = [sys.executable, "-c", SCRIPT, str(first), str(last), str(out), *settings]
    done = subprocess.run(words, env=environment(), stdout=subprocess.PIPE, text=True, timeout=HANGS_S, check=True)
    before, after = map(int, done.stdout.split())
    print(f"from epoch {first} to {last}: {before} kB, {after} kB")
    return after - before


@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("first", "last", "settings", "most_kb"),
    [
        (40, 140, [], 2048),
        pytest.param(200, 1000, [], 4096, marks=pytest.mark.soak),
        pytest.param(200, 1000, ["train.checkpoint_every_s=0"], 4096, marks=pytest.mark.soak),
    ],
    ids=["100 epochs", "800 epochs", "800 checkpoints"],
)
def test_a_run_does_not_grow_with_its_epochs(
    tmp_path: Path, first: int, last: int, settings: list[str], most_kb: int
) -> None:
    # A tensor of 20 kB that is kept of every epoch would come to as much; so few lines of a history do not.
    assert grown_kb(first, last, tmp_path / "run", *settings) < most_kb
