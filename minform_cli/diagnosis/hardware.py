"""Devices, cores and how busy they are, memory, and how fast a matrix product is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from minform_cli.diagnosis.findings import finding
from minform_cli.diagnosis.records import FindingRecord

_WATCHED_S = 0.3
"""How long the cores are watched, and a product of matrices is repeated at least."""
_SIDE = 1024
_BUSY = 0.5


def devices() -> Iterator[FindingRecord]:
    """What torch computes on here."""
    import torch

    from minform_cli.runs.environment import device_name

    yield finding("devices", "cpu", device_name(torch.device("cpu")))
    built = torch.version.cuda or torch.version.hip
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            name = torch.cuda.get_device_name(number)
            yield finding(
                "devices", f"cuda:{number}", f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free", "ok", free, "B"
            )
    else:
        yield finding("devices", "cuda", "none" if built else "none: this torch is built without")
    yield finding("devices", "mps", "there" if torch.backends.mps.is_available() else "none")


def cores() -> Iterator[FindingRecord]:
    """How many there are, how many this process may use, how busy they are, and the threads torch takes."""
    import torch

    usable = usable_cores()
    yield finding("cores", "usable", f"{usable} of {os.cpu_count()}", "ok", usable)
    yield finding("cores", "threads of torch", str(torch.get_num_threads()), "ok", torch.get_num_threads())
    chosen = os.environ.get("OMP_NUM_THREADS")
    yield finding("cores", "OMP_NUM_THREADS", chosen if chosen else "not set")
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        busy = load > _BUSY * usable
        text = f"{load:.2f} processes wanted a core over the last minute"
        yield finding(
            "cores", "load", text + (": times will be longer" if busy else ""), "note" if busy else "ok", load
        )
    shares = _busy_shares()
    if shares:
        text = ", ".join(f"{100 * share:.0f}" for share in shares)
        yield finding("cores", "busy just now", f"{text} %", "ok", sum(shares) / len(shares))


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> Iterator[FindingRecord]:
    """What the system says is there and available."""
    told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
    total, free = (1024 * int(told[key].split()[0]) for key in ("MemTotal", "MemAvailable"))
    yield finding("memory", "available", f"{free / 1e9:.1f} of {total / 1e9:.1f} GB", "ok", free, "B")


def matmul() -> Iterator[FindingRecord]:
    """GFLOP/s of the product of two float32 matrices: the best of several, with one thread and with one a core."""
    import torch

    before = torch.get_num_threads()
    a, b = (torch.full((_SIDE, _SIDE), 0.5) for _ in range(2))
    try:
        for threads in dict.fromkeys((1, usable_cores())):
            torch.set_num_threads(threads)
            best, started = float("inf"), time.perf_counter()
            while time.perf_counter() - started < _WATCHED_S or best == float("inf"):
                begun = time.perf_counter()
                torch.mm(a, b)
                best = min(best, time.perf_counter() - begun)
            rate = 2 * _SIDE**3 / best / 1e9
            name = f"{threads} thread{'s' if threads > 1 else ''}"
            text = f"{rate:,.0f} GFLOP/s, float32, {_SIDE} x {_SIDE}, the best of {_WATCHED_S} s"
            yield finding("matrix product", name, text, "ok", rate, "GFLOP/s")
    finally:
        torch.set_num_threads(before)


def _busy_shares() -> list[float]:
    """Of each core, the share of a moment in which it worked; empty where the system does not tell."""
    if not Path("/proc/stat").is_file():
        return []
    before = _ticks()
    time.sleep(_WATCHED_S)
    spans = [(now[0] - then[0], now[1] - then[1]) for then, now in zip(before, _ticks(), strict=False)]
    return [1 - idle / whole if whole else 0.0 for idle, whole in spans]


def _ticks() -> list[tuple[int, int]]:
    """Idle and all ticks of each core so far."""
    lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    counts = [list(map(int, line.split()[1:9])) for line in lines if line.startswith("cpu") and line[3:4].isdigit()]
    return [(each[3] + each[4], sum(each)) for each in counts]
