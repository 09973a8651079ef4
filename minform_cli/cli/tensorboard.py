"""``--log tensorboard``: the curves of every run as TensorBoard events in its folder, while it trains."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.cli.console import warn
from minform_cli.errors import InputError, unknown_name
from minform_cli.runs.folder import TENSORBOARD
from minform_cli.runs.progress import Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

RunListener = Callable[[Path, Progress], None]
"""Is told of a run, by its folder, how it goes."""

LOGS = ("tensorboard",)


def check_log(name: str | None) -> None:
    """Raises `InputError` if `name` is no kind of log, or its library is not installed; None is no log at all."""
    if name is None:
        return
    if name not in LOGS:
        raise unknown_name("log", name, LOGS, "--log")
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "--log tensorboard: tensorboard is not installed; pip install 'minform[tensorboard]' brings it"
        )


@contextmanager
def logging(name: str | None) -> Generator[RunListener]:
    """A listener that logs the news of runs, each in its folder; one that does nothing if `name` is None."""
    if name is None:
        yield _silent
        return
    board = TensorBoard()
    try:
        yield board.listen
    finally:
        board.close()


class TensorBoard:
    """Writes the news of runs to event files.

    A run that is resumed goes on in its folder: what an earlier process logged beyond the checkpoint is struck out.
    A log that fails costs the log, which is said in a line, and never a run.
    """

    def __init__(self) -> None:
        self._writers: dict[Path, SummaryWriter] = {}
        self._failed = False

    def close(self) -> None:
        """Writes out what is left."""
        with self._at_the_log_s_cost():
            for writer in self._writers.values():
                writer.close()

    def listen(self, run: Path, news: Progress) -> None:
        """Logs one piece of news of the run in the folder `run`: metrics over optimiser steps."""
        if self._failed or news.kind not in ("step", "epoch") or not news.metrics:
            return
        with self._at_the_log_s_cost():
            self._log(run, news, news.metrics)

    @contextmanager
    def _at_the_log_s_cost(self) -> Generator[None]:
        try:
            yield
        except Exception as error:
            if not self._failed:
                warn(f"--log tensorboard ends here: {(str(error).splitlines() or [''])[0] or type(error).__name__}")
            self._failed = True

    def _log(self, run: Path, news: Progress, metrics: Mapping[str, float]) -> None:
        writer = self._writer(run, news.step)
        if news.kind == "step":
            writer.add_scalar("train_loss_so_far_in_epoch", metrics["train_loss"], news.step)
            return
        for name, value in metrics.items():
            writer.add_scalar(name, value, news.step)
        writer.add_scalar("examples_per_s", news.examples_per_s, news.step)
        writer.flush()

    def _writer(self, run: Path, step: int) -> SummaryWriter:
        if run not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            self._writers[run] = SummaryWriter(str(run / TENSORBOARD), purge_step=step)
        return self._writers[run]


def _silent(_run: Path, _news: Progress) -> None:
    """No log was asked for."""
