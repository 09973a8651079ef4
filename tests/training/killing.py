"""Runs in processes of their own, so that they can be killed. Torch is imported once, in a fork server."""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import sklearn.datasets  # noqa: F401  (here and below: imported by the fork server, so that no child waits for it)
import torch._dynamo  # noqa: F401

from minform_cli.config.presets import resolve
from minform_cli.errors import MinformError
from minform_cli.files import RunFolder
from minform_cli.training.run import train
from tests.waiting import hold

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.killing"])


def run_once(out: str, variant: str, settings: tuple[str, ...], held_at: int | None) -> None:
    """What a user's process does: trains on, and ends with the exit code of its error."""
    if held_at is not None:
        hold(held_at)
    try:
        train(resolve("debug", variant, settings).config, Path(out), resume=True, device="cpu", threads=1)
    except MinformError as error:
        (Path(out).parent / "message").write_text(str(error))
        sys.exit(error.exit_code)


def start(out: Path, variant: str, settings: tuple[str, ...], held_at: int | None = None) -> ForkServerProcess:
    """Starts `run_once`; see `hold`."""
    process = CONTEXT.Process(target=run_once, args=(str(out), variant, settings, held_at), daemon=True)
    process.start()
    return process


@dataclass
class Kills:
    """How many kills landed, how many of them after a new checkpoint, and how many inside a write."""

    total: int = 0
    after_progress: int = 0
    inside_a_write: int = 0


def train_under_fire(out: Path, variant: str, settings: tuple[str, ...], rng: random.Random, kills: Kills) -> None:
    """Kills the run again and again, each time a random moment after it made progress, until it is finished."""
    checkpoint = RunFolder(out).checkpoint
    while not RunFolder(out).is_finished():
        before = _stamp(checkpoint)
        process = start(out, variant, settings)
        while process.is_alive() and _stamp(checkpoint) == before:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.04))
        if process.is_alive():
            process.kill()
            process.join()
            if process.exitcode == -9:
                kills.total += 1
                kills.after_progress += _stamp(checkpoint) != before
                kills.inside_a_write += any(out.glob(".*.tmp")) or len(list(out.glob("weights-*"))) > 1
        process.join()
        assert process.exitcode in (0, -9), (out.parent / "message").read_text()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
