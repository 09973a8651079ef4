"""trackio: each run is one of its runs in the project ``minform``, a study's runs are a group.

Where projects lie says ``TRACKIO_DIR``, and ``TRACKIO_SPACE_ID`` or ``TRACKIO_SERVER_URL`` that they are elsewhere.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minform_cli.tracking.tracked import Begun, Point, State, Table, TrackedRun, TrackedStudy

_PROJECT = "minform"
_LEVELS = {"finished": "INFO", "failed": "ERROR", "killed": "WARN"}
_ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class Tracker:
    """Tells runs by trackio, which finds a run again by its name: none is called as another is.

    It thinks of one run at a time as the current one; each begins in a context of its own, so that others go on.
    """

    nests = False

    def __init__(self) -> None:
        self._trackio: Any = importlib.import_module("trackio")
        remote = [os.environ[name] for name in _ELSEWHERE if os.environ.get(name)]
        self.where = remote[0] if remote else str(importlib.import_module("trackio.utils").TRACKIO_DIR)
        self._local = not remote
        self._runs: dict[str, Any] = {}

    def begin(self, run: TrackedRun, step: int, known: str | None, parent: str | None) -> Begun:  # noqa: ARG002
        """A run with settings and counts as its config."""
        group = run.study.name if run.study is not None else None
        return self._begun(run.name, known, group, {**run.config, **run.counts})

    def log(self, id: str, points: Sequence[Point]) -> None:
        """Adds metrics."""
        for step, metrics in points:
            _quietly(self._runs[id].log, dict(metrics), step=step)

    def end(self, id: str, state: State, final: Point) -> None:
        """Adds the final metrics; how a run ended it knows as an alert."""
        run = self._runs.pop(id)
        if final.metrics:
            _quietly(run.log, dict(final.metrics), step=final.step)
        level = getattr(self._trackio.AlertLevel, _LEVELS[state])
        _quietly(run.alert, title=state, text=f"{run.name}: {state}", level=level, step=max(final.step, 0))
        _quietly(run.finish)

    def begin_study(self, study: TrackedStudy, known: str | None) -> str:
        """The run that has the table."""
        return self._begun(study.name, known, study.name, study.config).id

    def end_study(self, id: str, state: State, table: Table | None) -> None:  # noqa: ARG002
        """Adds the table."""
        run = self._runs.pop(id)
        if table is not None:
            rows = [list(row) for row in table.rows]
            _quietly(run.log, {"comparison": self._trackio.Table(columns=list(table.columns), data=rows)})
        _quietly(run.finish)

    def _begun(self, name: str, known: str | None, group: str | None, config: Mapping[str, Any]) -> Begun:
        """The run, and the last step that it has."""
        there = self._names()
        name = known if known is not None and (known in there or not self._local) else _free(name, there)
        run = contextvars.Context().run(
            lambda: _quietly(
                self._trackio.init, _PROJECT, name=name, group=group, config=dict(config), resume="allow", embed=False
            )
        )
        self._runs[name] = run
        return Begun(name, self._last(run) if self._local else None)

    def _names(self) -> list[str]:
        if not self._local:
            return []
        try:
            return [run.name for run in self._trackio.Api().runs(_PROJECT)]
        except ValueError:  # there is no such project yet
            return []

    def _last(self, run: Any) -> int:
        storage = importlib.import_module("trackio.sqlite_storage").SQLiteStorage
        step = storage.get_max_step_for_run(_PROJECT, run.name, run_id=run.id)
        return -1 if step is None else int(step)


def _free(name: str, taken: Sequence[str]) -> str:
    """`name`, or with a number behind it where another run is called so."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _quietly(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Calls it without what it prints: standard output is for results."""
    with contextlib.redirect_stdout(io.StringIO()):
        return call(*arguments, **named)
