"""The command line in this process (fast), in one of its own, and on a terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import HANGS_S

ROOT = Path(__file__).parents[2]
TINY = ("--preset", "debug", "--set", "train.epochs=1", "--set", "train.warmup_epochs=0", "--set", "data.limit=60")


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line of a refusal, without the program's name."""
        assert self.code == 2, self
        assert self.out == ""
        assert self.err.startswith("minform: ")
        assert self.err.endswith("\n")
        line = self.err.removeprefix("minform: ").removesuffix("\n")
        assert line.isprintable(), self.err
        return line


Command = Callable[..., Outcome]


def environment(**changes: str) -> dict[str, str]:
    """The environment of a process of ours: one thread, and nothing that decides about colour, width or buffers."""
    dropped = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PYTHONUNBUFFERED")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"} | changes


def process(*arguments: str, cwd: Path | None = None, **changes: str) -> Outcome:
    """Runs a command in a process of its own, with pipes for stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "minform_cli", *arguments],
        capture_output=True,
        encoding="utf-8",
        env=environment(**changes),
        cwd=cwd,
        timeout=HANGS_S,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def on_terminal(*arguments: str, columns: int = 80, cwd: Path | None = None, **changes: str) -> Outcome:
    """Runs a command on a terminal: `out` is everything it showed there, escape codes included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    running = subprocess.Popen(
        [sys.executable, "-m", "minform_cli", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(**changes),
        cwd=cwd,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        shown += read
    os.close(ours)
    return Outcome(running.wait(timeout=HANGS_S), shown.decode("utf-8").replace("\r\n", "\n"), "")


ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")


def plain(text: str) -> str:
    """`text` without the escape codes of a terminal."""
    return ESCAPE.sub("", text)
