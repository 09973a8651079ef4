"""The progress of a search: a bar for the whole, one for each trial under way, and a line for each that has ended."""

from __future__ import annotations

from rich.progress import TaskID

from minform_cli.cli.progress import Display, brief, score
from minform_cli.errors import counted
from minform_cli.runs.progress import Progress as News
from minform_cli.searching.run import Search
from minform_cli.study.plan import PlannedRun


class SearchProgress(Display):
    """Shows what `searching.run.run_search` tells, with the best trial so far."""

    def __init__(self, search: Search, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._search = search
        self._ended: set[str] = set()
        self._best: tuple[float, str] | None = None
        self._last_epoch: dict[str, News] = {}
        self._tasks: dict[str, TaskID] = {}
        self._whole: TaskID | None = None

    def __enter__(self) -> SearchProgress:
        super().__enter__()
        space, most = self._search.space, self._search.options.trials
        self.say(
            f"{len(space):,} combinations of {', '.join(key.removeprefix('model.') for key in space.choices)}; "
            f"at most {space.limit:,} parameters, the baseline has {space.baseline_parameters:,}"
        )
        self._hear_earlier()
        if self.live is not None:
            self._whole = self.live.add_task("all trials", total=most, completed=len(self._ended), text="")
        return self

    def listen(self, run: PlannedRun, news: News) -> None:
        """Shows one piece of news of one trial."""
        name = run.config.variant
        if news.kind in ("begin", "failed"):
            return
        if news.kind == "note":
            if not news.text.startswith("device:"):
                self.say(f"{name}: {news.text}")
            return
        if news.kind == "epoch":
            self._last_epoch[name] = news
        if news.kind == "done":
            self._finish(run, news)
        elif self.live is not None:
            if name not in self._tasks:
                self._tasks[name] = self.live.add_task(name, total=news.steps, text="")
            self.live.update(
                self._tasks[name], completed=news.step, text=brief(news, self._last_epoch.get(name), rate=False)
            )

    def _finish(self, run: PlannedRun, news: News) -> None:
        name = run.config.variant
        if self.live is not None and name in self._tasks:
            self.live.remove_task(self._tasks.pop(name))
        from minform_cli.searching.trial import size_of

        self._ended.add(name)
        reached = (news.metrics or {}).get(f"val_{news.metric}")
        whole = news.epoch >= news.epochs
        if reached is not None and whole and (self._best is None or reached > self._best[0]):
            self._best = reached, name
        parts = [
            f"{size_of(run.folder):,} parameters",
            *([] if reached is None else [score(news.metric, reached, 2)]),
            *([] if whole else [f"stopped after epoch {news.epoch} of {news.epochs}"]),
            *([] if self._best is None else [f"best {self._best[1]}, {score(news.metric, self._best[0], 2)}"]),
        ]
        self.say(f"[{len(self._ended)}/{self._search.options.trials}] {name}: {', '.join(parts)}")
        if self.live is not None and self._whole is not None:
            self.live.update(self._whole, completed=len(self._ended), text=parts[-1])

    def _hear_earlier(self) -> None:
        """What trials of earlier commands came to."""
        from minform_cli.searching.trial import earlier

        for folder, found in earlier(self._search.out):
            name = f"trial-{folder}"
            self._ended.add(name)
            if found["state"] == "trained" and (self._best is None or found["score"] > self._best[0]):
                self._best = found["score"], name
        if self._ended:
            self.say(f"done before and taken as they are: {counted(len(self._ended), 'trial')}")
