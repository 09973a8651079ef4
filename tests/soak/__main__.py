"""`python -m tests.soak`: the parts in turn, in slices, until each is at its goal; then, or when stopped, the table.

Every slice is a run of pytest of its own. What is reached stands in the folder, so that a later call goes on; a slice
that fails leaves its whole output there and counts nothing, and its part goes on with other choices.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tabulate import tabulate

from tests.soak.parts import PARTS, Part
from tests.soak.scale import COUNTS, SEED, TRIES

ROOT = Path(__file__).parents[2]


@dataclass
class Reached:
    """How far a part has come."""

    slices: int = 0
    count: int = 0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)

    def is_done(self, part: Part) -> bool:
        """Whether there is nothing left to do."""
        return self.slices > 0 if not part.goal else self.count >= part.goal


class Soak:
    """The folder of a soak: what was reached, and the output of what failed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "reached.json"
        found = json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else {}
        self.reached = {part.name: Reached(**found.get(part.name, {})) for part in PARTS}
        self.running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()

    def take(self, part: Part, number: int) -> None:
        """One slice of `part`, the `number`-th."""
        counts = self._folder / f"{part.name}-{number}.counts"
        counts.unlink(missing_ok=True)
        given = {SEED: str(number), COUNTS: str(counts)} | ({TRIES: str(part.a_slice)} if part.a_slice else {})
        command = [sys.executable, "-m", "pytest", "-n", "0", "-m", part.mark, *part.tests]
        started = time.monotonic()
        with subprocess.Popen(
            command, cwd=ROOT, env=os.environ | given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            self.running.add(process)
            out, _ = process.communicate()
        self.running.discard(process)
        if process.returncode < 0:
            return  # stopped with the soak itself
        with self._lock:
            reached = self.reached[part.name]
            reached.slices += 1
            reached.seconds += time.monotonic() - started
            if process.returncode:
                log = self._folder / f"{part.name}-{number}.log"
                log.write_text(out, encoding="utf-8")
                reached.failed.append(log.name)
            else:
                reached.count += _counted(counts, part.figure, out)
            counts.unlink(missing_ok=True)
            told = {name: asdict(each) for name, each in self.reached.items()}
            beside = self._file.with_suffix(".new")
            beside.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            beside.replace(self._file)

    def stop(self) -> None:
        """Ends the slices that run; they count nothing."""
        for process in tuple(self.running):
            process.kill()

    def table(self) -> str:
        """Figure, gate, goal and what was reached."""
        rows = [[part.figure.partition("-")[0], part.what, *_numbers(part, self.reached[part.name])] for part in PARTS]
        headers = ["figure", "what", "gate", "goal", "reached", "failed", "minutes"]
        return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def _numbers(part: Part, reached: Reached) -> list[str]:
    gate, goal = (f"{number:,}" if number else "all" for number in (part.gate, part.goal))
    return [gate, goal, f"{reached.count:,}", f"{len(reached.failed)}", f"{reached.seconds / 60:.1f}"]


def _counted(counts: Path, figure: str, out: str) -> int:
    """What the tests told; where they tell nothing, how many of them passed."""
    lines = counts.read_text(encoding="utf-8").splitlines() if counts.is_file() else []
    told = [found["count"] for found in map(json.loads, lines) if found["figure"] == figure]
    passed = re.search(r"(\d+) passed", out)
    return sum(told) if told else int(passed[1]) if passed else 0


def run(soak: Soak, parts: list[Part], jobs: int, until: float) -> None:
    """Slices, `jobs` at a time, of the part that is least far, until all are done or the clock says `until`."""
    begun = {part.name: soak.reached[part.name].slices for part in parts}
    busy: dict[Future[None], Part] = {}
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while True:
                waiting = [part for part in parts if not soak.reached[part.name].is_done(part)]
                free = [part for part in waiting if part.goal or part not in busy.values()]
                free.sort(key=lambda part: (begun[part.name] * part.a_slice / max(part.goal, 1), part.name))
                if time.time() < until:
                    for part in free[: jobs - len(busy)]:
                        busy[pool.submit(soak.take, part, begun[part.name])] = part
                        begun[part.name] += 1
                if not busy:
                    return
                done, _ = wait(busy, return_when=FIRST_COMPLETED)
                for future in done:
                    part = busy.pop(future)
                    future.result()
                    reached = soak.reached[part.name]
                    failed = f", {len(reached.failed)} failed" if reached.failed else ""
                    sys.stderr.write(f"{part.name}: {reached.count:,} {part.what}{failed}\n")
        except BaseException:
            soak.stop()
            raise


def main() -> int:
    """Runs it; 0 where nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / ".soak", help="where what was reached is kept")
    parser.add_argument("--only", nargs="*", metavar="PART", help=f"of {', '.join(part.name for part in PARTS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="slices at a time")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no slice begins after that")
    parser.add_argument("--table", action="store_true", help="only say what was reached")
    asked = parser.parse_args()
    unknown = {*(asked.only or ())} - {part.name for part in PARTS}
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    soak = Soak(asked.folder)
    parts = [part for part in PARTS if asked.only is None or part.name in asked.only]
    stopped = False
    if not asked.table:
        for number in (signal.SIGINT, signal.SIGTERM):  # what a shell starts in the background ignores the first
            signal.signal(number, signal.default_int_handler)
        try:
            run(soak, parts, asked.jobs, time.time() + 60 * asked.minutes)
        except KeyboardInterrupt:
            stopped = True
    sys.stdout.write(soak.table() + "\n")
    if stopped:
        return 130
    return int(any(reached.failed for reached in soak.reached.values()))


if __name__ == "__main__":
    sys.exit(main())
