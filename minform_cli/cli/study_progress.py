"""The progress of a study: a bar for the whole, one for each run under way, and a line for each finished run."""

from __future__ import annotations

import time

from rich.progress import TaskID

from minform_cli.cli.progress import Display, brief, score
from minform_cli.report.numbers import duration
from minform_cli.runs.progress import Progress as News
from minform_cli.study.plan import Plan, PlannedRun


class StudyProgress(Display):
    """Shows what `study.execute` tells. Elsewhere than on a terminal: one line per finished run."""

    def __init__(self, plan: Plan, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._num_runs = len(plan.runs)
        self._num_done = sum(run.finished for run in plan.runs)
        self._num_reused = self._num_done
        self._fractions: dict[str, float] = {}
        self._found: dict[str, float] = {}  # fraction of a run that an earlier process had done
        self._last_epoch: dict[str, News] = {}
        self._tasks: dict[str, TaskID] = {}
        self._started = time.monotonic()
        self._whole: TaskID | None = None

    def __enter__(self) -> StudyProgress:
        super().__enter__()
        if self._num_reused:
            self.say(f"{self._num_reused} of {self._num_runs} runs were finished before and are taken as they are")
        if self.live is not None:
            self._whole = self.live.add_task("all runs", total=self._num_runs, completed=self._num_done, text="")
        return self

    def listen(self, run: PlannedRun, news: News) -> None:
        """Shows one piece of news of one run."""
        if run.finished or news.kind in ("begin", "failed"):
            return
        name = str(run)
        if news.kind == "note":
            if not news.text.startswith("device:"):
                self.say(f"{name}: {news.text}")
            return
        if news.kind == "epoch":
            self._last_epoch[name] = news
        if run.begun and news.kind != "done":
            self._found.setdefault(name, max(news.step - 1, 0) / max(news.steps, 1))
        self._fractions[name] = 1.0 if news.kind == "done" else news.step / max(news.steps, 1)
        if news.kind == "done":
            self._finish(name, news)
        elif self.live is not None:
            if name not in self._tasks:
                self._tasks[name] = self.live.add_task(name, total=news.steps, text="")
            self.live.update(
                self._tasks[name], completed=news.step, text=brief(news, self._last_epoch.get(name), rate=False)
            )
        self._show_whole()

    def _finish(self, name: str, news: News) -> None:
        self._num_done += 1
        if self.live is not None and name in self._tasks:
            self.live.remove_task(self._tasks.pop(name))
        last = self._last_epoch.pop(name, news)  # of a run that another process did nothing else was heard
        metrics = last.metrics or {}
        metric = f"val_{last.metric}"
        reached = f"{score(last.metric, metrics[metric], 2)}, " if metric in metrics else ""
        self.say(f"[{self._num_done}/{self._num_runs}] {name}: {reached}{self._left()}")

    def _show_whole(self) -> None:
        if self.live is not None and self._whole is not None:
            self.live.update(self._whole, completed=self._num_reused + sum(self._fractions.values()), text=self._left())

    def _left(self) -> str:
        """Time left for all runs, at the pace of this process."""
        todo = self._num_runs - self._num_reused - sum(self._fractions.values())
        if todo <= 0:
            return "all done"
        done = sum(self._fractions.values()) - sum(self._found.values())
        elapsed = time.monotonic() - self._started
        return f"about {duration(elapsed / done * todo)} left" if done > 0 else "starting"
