"""Weights & Biases: each run is one of its runs, a study a group, with a run of its own for the table.

Nothing leaves the machine unless ``WANDB_MODE=online`` says so: offline runs are sent by ``wandb sync``. The project is
``minform``, or what ``WANDB_PROJECT`` says.
"""

from __future__ import annotations

import importlib
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError
from minform_cli.tables.wandb_folder import last_step
from minform_cli.tracking.tracked import Begun, Point, State, Table, TrackedRun, TrackedStudy

_OFFLINE = "offline"
_EXIT_CODES = {"finished": 0, "failed": 1, "killed": 255}
"""It takes 255 for Ctrl-C."""


def check() -> None:
    """Raises `InputError` if runs are to be sent and no account is known: it would ask for one."""
    if _mode() not in ("online", "shared", "run"):
        return
    wandb: Any = importlib.import_module("wandb")
    if not wandb.login(prompt=False, verify=False):
        raise InputError(
            f"--log wandb: WANDB_MODE is {_mode()}, and no API key is known; accepted: WANDB_API_KEY, `wandb login` "
            f"before, or WANDB_MODE={_OFFLINE}"
        )


_SECOND = 1.0
"""Two parts of one run that begin in the same second would have one folder: wandb names it by the second."""


class Tracker:
    """Tells runs by wandb. Their ids are ours, so that a run that goes on is the same one there."""

    nests = False

    def __init__(self) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._wandb: Any = importlib.import_module("wandb")
        self._project = os.environ.get("WANDB_PROJECT") or "minform"
        self.where = f"{_mode()}:{os.environ.get('WANDB_ENTITY', '')}/{self._project}"
        self._runs: dict[str, Any] = {}

    def begin(self, run: TrackedRun, step: int, known: str | None, parent: str | None) -> Begun:  # noqa: ARG002
        """A run with settings and counts as its config."""
        group = run.study.name if run.study is not None else None
        id = self._begun(run.name, known, group, "train", {**run.config, **run.counts})
        return Begun(id, -1 if known is None else self._last(self._runs[id]))

    def log(self, id: str, points: Sequence[Point]) -> None:
        """Adds rows of its history."""
        for step, metrics in points:
            self._runs[id].log(dict(metrics), step=step, commit=True)

    def end(self, id: str, state: State, final: Point) -> None:
        """Adds the final numbers to the summary."""
        run = self._runs.pop(id)
        run.summary.update(dict(final.metrics))
        run.finish(exit_code=_EXIT_CODES[state])

    def begin_study(self, study: TrackedStudy, known: str | None) -> str:
        """The run that has the table."""
        return self._begun(study.name, known, study.name, "study", study.config)

    def end_study(self, id: str, state: State, table: Table | None) -> None:
        """Adds the table."""
        run = self._runs.pop(id)
        if table is not None:
            rows = [list(row) for row in table.rows]
            run.log({"comparison": self._wandb.Table(columns=list(table.columns), data=rows)})
        run.finish(exit_code=_EXIT_CODES[state])

    def _last(self, run: Any) -> int | None:
        """The last step that there is of the run: by its server, or in its files, as a killed process left them."""
        if _mode() != _OFFLINE:
            return run.step - 1 if run.resumed else None
        folder = Path(run.settings.wandb_dir)
        return last_step(
            [file for file in folder.glob(f"{_OFFLINE}-run-*-{run.id}/run-*.wandb") if file.stat().st_size]
        )

    def _begun(self, name: str, known: str | None, group: str | None, kind: str, config: Mapping[str, Any]) -> str:
        id = known or secrets.token_hex(4)
        if known is not None and _mode() == _OFFLINE:
            time.sleep(_SECOND)
        self._runs[id] = self._wandb.init(
            project=self._project,
            id=id,
            name=name,
            group=group,
            job_type=kind,
            config=dict(config),
            mode=_mode(),
            resume="allow",
            reinit="create_new",  # others go on beside it
            settings=self._wandb.Settings(silent=True, console="off"),
        )
        return id


def _mode() -> str:
    return os.environ.get("WANDB_MODE") or _OFFLINE
