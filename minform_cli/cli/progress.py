"""Live progress on stderr: bars on a terminal, one line an epoch (or a run) in a pipe, nothing when quiet."""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from minform_cli.cli.console import console, one_line
from minform_cli.report.numbers import duration, metric_name
from minform_cli.runs.progress import Progress as News


class Display:
    """Base of the displays: a rich progress on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = console(stderr=True)
        self.quiet = quiet
        self.live: Progress | None = None
        if not quiet and self.console.is_terminal:
            self.live = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=12),
                TextColumn("{task.fields[text]}", markup=False),
                console=self.console,
                refresh_per_second=5,
                transient=False,
            )

    def __enter__(self) -> Display:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def say(self, text: str) -> None:
        """One line of text, above the bars if there are any."""
        if self.quiet:
            return
        if self.live is not None:
            self.live.console.print(one_line(text), markup=False)
        else:
            with contextlib.suppress(OSError):  # nobody reads it any more, or the disk is full: the run goes on
                print(one_line(text), file=sys.stderr, flush=True)


class RunProgress(Display):
    """The progress of one run."""

    _task: TaskID | None = None
    _last_epoch: News | None = None

    def __enter__(self) -> RunProgress:
        super().__enter__()
        return self

    def listen(self, news: News) -> None:
        """Shows one piece of news."""
        if self.quiet or news.kind in ("begin", "failed"):
            return
        if news.kind == "note":
            self.say(news.text)
        elif self.live is not None:
            if self._task is None:
                self._task = self.live.add_task("", total=news.steps, text="")
            if news.kind == "epoch":
                self._last_epoch = news
            self.live.update(self._task, completed=news.step, text=brief(news, self._last_epoch, rate=True))
        elif news.kind == "epoch":
            self.say(status(news))


def status(news: News) -> str:
    """``epoch 3/10  loss 0.412  acc 87.20 %  val 88.10 %  5,120/s  left 12 s``."""
    parts = [f"epoch {news.epoch}/{news.epochs}"]
    metrics = news.metrics or {}
    if "train_loss" in metrics:
        parts.append(f"loss {metrics['train_loss']:.4f}")
    if "train_accuracy" in metrics:
        parts.append(f"acc {100 * metrics['train_accuracy']:.2f} %")
    if f"val_{news.metric}" in metrics:
        parts.append(score(news.metric, metrics[f"val_{news.metric}"], 2))
    if news.examples_per_s:
        parts.append(f"{news.examples_per_s:,.0f}/s")
    if news.kind != "done" and news.seconds_left:
        parts.append(f"left {duration(news.seconds_left)}")
    return "  ".join(parts)


def score(metric: str, value: float, decimals: int) -> str:
    """``val 88.10 %``, or ``val BLEU 31.20``."""
    number = f"{100 * value:.{decimals}f}"
    return f"val {number} %" if metric_name(metric) == metric else f"val {metric_name(metric)} {number}"


def brief(news: News, last_epoch: News | None, *, rate: bool) -> str:
    """``3/10  loss 0.412  acc 87.2 %  val 88.1 %  5,120/s  12 s left``: with a bar before it, 80 columns hold it.

    Args:
        news: of a run.
        last_epoch: the run's last news of a whole epoch; has the validation score.
        rate: whether training loss, training accuracy and examples per second are in it.
    """
    metrics = {**((last_epoch.metrics if last_epoch else None) or {}), **(news.metrics or {})}
    parts = [f"{news.epoch}/{news.epochs}"]
    if rate and "train_loss" in metrics:
        parts.append(f"loss {metrics['train_loss']:.3f}")
    if rate and "train_accuracy" in metrics:
        parts.append(f"acc {100 * metrics['train_accuracy']:.1f} %")
    if f"val_{news.metric}" in metrics:
        parts.append(score(news.metric, metrics[f"val_{news.metric}"], 1))
    if rate:
        parts.append(f"{news.examples_per_s:,.0f}/s")
    if news.kind != "done" and news.seconds_left:
        parts.append(f"{duration(news.seconds_left)} left")
    return "  ".join(parts)
