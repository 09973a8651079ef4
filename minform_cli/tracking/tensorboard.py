"""TensorBoard: event files in each run's folder; settings and how a run ended stand on its HParams page."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minform_cli.runs.folder import TENSORBOARD, flat
from minform_cli.tracking.tracked import Begun, Point, State, Table, TrackedRun, TrackedStudy

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_END = ".end"
"""What the name of the file ends with that says how a run ended."""
_STATUS = {"finished": "STATUS_SUCCESS", "failed": "STATUS_FAILURE", "killed": "STATUS_UNKNOWN"}


class Tracker:
    """Writes event files. A run's name here is its folder.

    A run that goes on has what was logged from the checkpoint on struck out, as TensorBoard's own restarts do.
    """

    nests = False
    where = "tensorboard"

    def __init__(self) -> None:
        self._writers: dict[str, SummaryWriter] = {}

    def begin(self, run: TrackedRun, step: int, known: str | None, parent: str | None) -> Begun:  # noqa: ARG002
        """Opens the run's event file; with its settings, if it is the first."""
        id, begun = str(run.folder), any((run.folder / TENSORBOARD).glob("events.*"))
        for end in (run.folder / TENSORBOARD).glob(f"events.*{_END}"):
            end.unlink()  # the first end that it reads is the one that it shows
        writer = self._writers[id] = _writer(run.folder, purge_step=step if begun else None)
        if not begun:
            group = f"{run.study.name}/{run.config['variant']}" if run.study is not None else ""
            _add_session(writer, session_start_info=_start({**flat(run.config), **run.counts}, group))
        return Begun(id, step - 1 if begun else -1)

    def log(self, id: str, points: Sequence[Point]) -> None:
        """Adds scalars."""
        for step, metrics in points:
            _add(self._writers[id], step, metrics)
        self._writers[id].flush()

    def end(self, id: str, state: State, final: Point) -> None:
        """Adds the final scalars and how the run ended."""
        writer = self._writers.pop(id)
        _add(writer, *final)
        writer.close()
        writer = _writer(Path(id), filename_suffix=_END)
        status = getattr(_hparams("api_pb2"), _STATUS[state])
        _add_session(writer, session_end_info=_hparams("plugin_data_pb2").SessionEndInfo(status=status))
        writer.close()

    def begin_study(self, study: TrackedStudy, known: str | None) -> str:  # noqa: ARG002
        """Nothing: what there is of a study is its table."""
        return str(study.folder)

    def end_study(self, id: str, state: State, table: Table | None) -> None:  # noqa: ARG002
        """Adds the table as text."""
        if table is not None:
            writer = _writer(Path(id))
            writer.add_text("comparison", table.markdown)
            writer.close()


def _writer(folder: Path, *, purge_step: int | None = None, filename_suffix: str = "") -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / TENSORBOARD), purge_step=purge_step, filename_suffix=filename_suffix)


def _add(writer: SummaryWriter, step: int, metrics: Mapping[str, float]) -> None:
    for name, value in metrics.items():
        writer.add_scalar(name, value, step)


def _start(settings: Mapping[str, Any], group: str) -> Any:
    """What the HParams page reads of a run that begins; runs of one `group` are repetitions of one another."""
    start = _hparams("plugin_data_pb2").SessionStartInfo(group_name=group, start_time_secs=time.time())
    for key, value in settings.items():
        if isinstance(value, bool):
            start.hparams[key].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[key].number_value = value
        else:
            start.hparams[key].string_value = value if isinstance(value, str) else json.dumps(value)
    return start


def _add_session(writer: SummaryWriter, **info: Any) -> None:
    """Adds that a run begins or has ended, as tensorboard.plugins.hparams.summary does where there is tensorflow."""
    summary, (kind,) = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary, info
    data = _hparams("plugin_data_pb2").HParamsPluginData(**info)
    metadata = _hparams("metadata").create_summary_metadata(data)
    assert writer.file_writer is not None
    writer.file_writer.add_summary(summary(value=[summary.Value(tag=f"_hparams_/{kind}", metadata=metadata)]))


def _hparams(module: str) -> Any:
    return importlib.import_module(f"tensorboard.plugins.hparams.{module}")
