"""What needs no torch, beside `import torch` in the same run: `make bench`.

Processor time, interleaved, medians: other processes on the machine disturb that least. It shows a table and the
machine, and ends with exit code 1 where a gate is missed. No test asserts a time: what is structural, that none of
these imports torch, the suite asserts.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
REFERENCE = "import torch"
SHARE = 0.2
"""Of the reference: what help, completion and any refusal may take."""
COUNT_SHARE = 0.25
"""Of the reference: what counting a preset's variants may take."""


@dataclass(frozen=True)
class Timed:
    """A command of this interpreter, what it adds to the environment, and its gate as a share of the reference."""

    arguments: list[str]
    gate: float | None = SHARE
    changes: dict[str, str] = field(default_factory=dict)


def minform(*arguments: str, gate: float = SHARE, **changes: str) -> Timed:
    """A command line of ours."""
    return Timed(["-m", "minform_cli", *arguments], gate, changes)


TIMED = {
    REFERENCE: Timed(["-c", "import torch"], None),
    "--help": minform("--help"),
    "--version": minform("--version"),
    "train --help": minform("train", "--help"),
    "completion": minform(
        _MINFORM_COMPLETE="complete_bash", COMP_WORDS="minform count --variant no-mlp+sym", COMP_CWORD="3"
    ),
    "usage error": minform("compare", "--seeds", "x"),
    "unknown preset": minform("compare", "--preset", "mnits"),
    "illegal model": minform("train", "--set", "model.heads=3"),
    "count": minform("count", gate=COUNT_SHARE),
    "count --by layer": minform("count", "--by", "layer", gate=COUNT_SHARE),
    "count --preset vit-tiny-16": minform("count", "--preset", "vit-tiny-16", gate=COUNT_SHARE),
}


def processor_seconds(timed: Timed) -> float:
    """User and system time of one run of a command, its children included; with bytecode kept, as where installed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | timed.changes
    sink = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    process = os.posix_spawn(sys.executable, [sys.executable, *timed.arguments], environment, file_actions=sink)
    used = os.wait4(process, 0)[2]
    return used.ru_utime + used.ru_stime


def machine() -> str:
    """What the figures were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.processor()
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{processor}, {cores} cores, load {load:.1f}; Python {python}, torch {version('torch')}"


def main() -> int:
    """Measures, shows, and says by the exit code whether every gate was met."""
    options = argparse.ArgumentParser(description="Processor time of commands that need no torch.")
    options.add_argument("--repeats", type=int, default=7, help="runs of each command (default 7)")
    repeats = options.parse_args().repeats
    times: dict[str, list[float]] = {name: [] for name in TIMED}
    for repeat in range(repeats + 1):
        for name, timed in TIMED.items():
            seconds = processor_seconds(timed)
            times[name] += [seconds] * (repeat > 0)  # the first one compiles
    medians = {name: statistics.median(found) for name, found in times.items()}
    missed = 0
    print(f"{machine()}; medians of {repeats}\n")
    for name, timed in TIMED.items():
        share = medians[name] / medians[REFERENCE]
        verdict = "" if timed.gate is None else f"at most {timed.gate:.2f}"
        if timed.gate is not None and share > timed.gate:
            missed, verdict = missed + 1, f"{verdict}, missed"
        print(f"{name:28} {medians[name]:7.3f} s {share:7.3f}  {verdict}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
