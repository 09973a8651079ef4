"""mlflow: each run is one of its runs, a study the parent of its runs; in the store that its own variables name.

Without ``MLFLOW_TRACKING_URI`` that is ``mlflow.db`` in the working directory. The experiment is ``minform``, or what
``MLFLOW_EXPERIMENT_NAME`` says.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minform_cli.runs.folder import flat
from minform_cli.tracking.tracked import IN_EPOCH, Begun, Point, State, Table, TrackedRun, TrackedStudy

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_METRICS, _PARAMS = 1000, 100
"""How many are taken at a time."""
_OWN = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing is sent but where runs are to go
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by its own numbers a server that is gone would stop training for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Variables of its that have other defaults here."""


class Tracker:
    """Tells runs by mlflow's client, which knows no run that is the current one: any number go on at once."""

    nests = True

    def __init__(self) -> None:
        for key, value in _OWN.items():
            os.environ.setdefault(key, value)
        self._mlflow: Any = importlib.import_module("mlflow")
        for name in ("mlflow", "alembic"):  # they tell of every table of a new store
            logging.getLogger(name).setLevel(logging.ERROR)
        self.where: str = self._mlflow.get_tracking_uri()
        self._client: Any = self._mlflow.MlflowClient()
        self._known_experiment: str | None = None

    def begin(self, run: TrackedRun, step: int, known: str | None, parent: str | None) -> Begun:  # noqa: ARG002
        """A run with settings as parameters and counts as metrics, so that runs can be sorted by them."""
        if self._reopened(known):
            keys = (IN_EPOCH, "train_loss")
            points = [point for key in keys for point in self._client.get_metric_history(known, key)]
            return Begun(str(known), max((point.step for point in points), default=-1))
        tags = {} if parent is None else {"mlflow.parentRunId": parent}
        id = self._created(run.name, flat(run.config), tags)
        self.log(id, [Point(0, run.counts)])
        return Begun(id, -1)

    def log(self, id: str, points: Sequence[Point]) -> None:
        """Adds metrics."""
        metric, now = self._mlflow.entities.Metric, int(time.time() * 1000)
        found = [metric(name, value, now, step) for step, metrics in points for name, value in metrics.items()]
        for first in range(0, len(found), _METRICS):
            self._client.log_batch(id, metrics=found[first : first + _METRICS])

    def end(self, id: str, state: State, final: Point) -> None:
        """Adds the final metrics, and says how the run ended."""
        self.log(id, [final])
        self._client.set_terminated(id, _STATUS[state])

    def begin_study(self, study: TrackedStudy, known: str | None) -> str:
        """The parent of the study's runs."""
        return str(known) if self._reopened(known) else self._created(study.name, study.config, {})

    def end_study(self, id: str, state: State, table: Table | None) -> None:
        """Adds the study's files as artifacts, and the table as the text that stands above them."""
        if table is not None:
            self._client.set_tag(id, "mlflow.note.content", table.markdown)
            for file in table.files:
                self._client.log_artifact(id, str(file))
        self._client.set_terminated(id, _STATUS[state])

    def _reopened(self, known: str | None) -> bool:
        """Whether the run is there still; it runs again."""
        if known is None:
            return False
        try:
            if self._client.get_run(known).info.lifecycle_stage != "active":
                return False
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        self._client.update_run(known, status="RUNNING")
        return True

    def _created(self, name: str, settings: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        own = {"mlflow.source.name": "minform", "mlflow.source.type": "LOCAL"}
        created = self._client.create_run(self._experiment(), run_name=name, tags={**own, **tags})
        id: str = created.info.run_id
        for some in _chunks([self._mlflow.entities.Param(key, _text(value)) for key, value in settings.items()]):
            self._client.log_batch(id, params=some)
        return id

    def _experiment(self) -> str:
        if self._known_experiment is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "minform"
            there = self._client.get_experiment_by_name(name)
            self._known_experiment = str(
                os.environ.get("MLFLOW_EXPERIMENT_ID")
                or (self._client.create_experiment(name) if there is None else there.experiment_id)
            )
        return self._known_experiment


def _chunks(params: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (params[first : first + _PARAMS] for first in range(0, len(params), _PARAMS))


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | Mapping) else str(value)
