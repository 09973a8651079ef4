"""What was logged, read back by each tracker's own means."""

from __future__ import annotations

import importlib
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Points = list[tuple[int, float]]


@dataclass
class Read:
    """A run as its tracker has it; `of` is the study that it is part of, `table` that of a study: rows by column."""

    name: str
    state: str
    config: dict[str, Any]
    history: dict[str, Points]
    of: str | None = None
    final: dict[str, float] = field(default_factory=dict[str, float])
    table: list[dict[str, Any]] | None = None


def read_tensorboard(root: Path) -> dict[str, Read]:
    """Of each folder with event files, by TensorBoard's event accumulator and the reader of its HParams page."""
    accumulator: Any = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    metadata: Any = importlib.import_module("tensorboard.plugins.hparams.metadata")
    statuses = {1: "finished", 2: "failed", 0: "killed"}
    runs: dict[str, Read] = {}
    for folder in sorted(root.rglob("tensorboard")):
        events = accumulator.EventAccumulator(str(folder), {accumulator.SCALARS: 0, accumulator.TENSORS: 0}).Reload()
        tags = events.Tags()
        history = {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in tags["scalars"]}
        run = runs[str(folder.parent.relative_to(root))] = Read(folder.parent.name, "", {}, history)
        run.final = {tag: points[-1][1] for tag, points in history.items()}
        if "comparison/text_summary" in tags["tensors"]:
            (text,) = events.Tensors("comparison/text_summary")
            lines = text.tensor_proto.string_val[0].decode().splitlines()
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            run.table = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
            run.state = "finished"
            continue
        contents = {tag: events.SummaryMetadata(tag).plugin_data.content for tag in events.summary_metadata}
        start = metadata.parse_session_start_info_plugin_data(contents["_hparams_/session_start_info"])
        run.config = {key: getattr(value, value.WhichOneof("kind")) for key, value in start.hparams.items()}
        run.of = start.group_name.partition("/")[0] or None
        end = contents.get("_hparams_/session_end_info")
        run.state = "running" if end is None else statuses[metadata.parse_session_end_info_plugin_data(end).status]
    return runs


def read_mlflow(root: Path) -> dict[str, Read]:
    """By mlflow's client."""
    mlflow: Any = importlib.import_module("mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("minform")
    found = client.search_runs([experiment.experiment_id]) if experiment is not None else []
    names = {run.info.run_id: run.info.run_name for run in found}
    runs: dict[str, Read] = {}
    for run in found:
        id, tags = run.info.run_id, run.data.tags
        history = {
            key: [(one.step, one.value) for one in client.get_metric_history(id, key)] for key in run.data.metrics
        }
        table = None
        if any(file.path == "table.json" for file in client.list_artifacts(id)):
            table = json.loads(Path(client.download_artifacts(id, "table.json")).read_text())
            assert tags["mlflow.note.content"].startswith("| variant")
        runs[run.info.run_name] = Read(
            name=run.info.run_name,
            state=run.info.status.lower(),
            config={**run.data.params, **run.data.metrics},
            history=history,
            of=names.get(tags.get("mlflow.parentRunId")),
            final=run.data.metrics,
            table=table,
        )
    assert len(runs) == len(found)
    return runs


def read_trackio(_root: Path) -> dict[str, Read]:
    """By trackio's Api and its storage, in the folder that `TRACKIO_DIR` named when it was imported."""
    trackio: Any = importlib.import_module("trackio")
    storage = importlib.import_module("trackio.sqlite_storage").SQLiteStorage
    runs: dict[str, Read] = {}
    for run in trackio.Api().runs("minform"):
        history: dict[str, Points] = {}
        table = None
        for row in storage.get_logs("minform", run.name, run_id=run.id):
            for key, value in row.items():
                if key == "comparison":
                    table = value["_value"]
                elif key not in ("step", "timestamp"):
                    history.setdefault(key, []).append((row["step"], value))
        alerts = [alert["title"] for alert in sorted(run.alerts(), key=lambda alert: alert["timestamp"])]
        config = run.config or {}
        of = config.get("_Group") if table is None else None
        final = {key: points[-1][1] for key, points in history.items()}
        state = alerts[-1] if alerts else "finished" if table is not None else "running"
        assert run.name not in runs
        runs[run.name] = Read(run.name, state, _flat(config), history, of, final, table)
    return runs


def read_wandb(root: Path) -> dict[str, Read]:
    """Out of the files of its offline runs, by its own messages; those of one run in their order, as it syncs them."""
    runs: dict[str, Read] = {}
    states = {0: "finished", 1: "failed", 255: "killed"}
    for file in sorted(root.glob("wandb/offline-run-*/run-*.wandb")):
        for record in _records(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                told = record.run
                run = runs.setdefault(told.run_id, Read(told.display_name, "", {}, {}))
                run.of = told.run_group if told.job_type == "train" else None
                run.config |= _flat({item.key: json.loads(item.value_json) for item in told.config.update})
                run.of = run.of or None
            elif kind == "history":
                row = {
                    "/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item
                }
                for key, value in row.items():
                    if key == "comparison/path":
                        stored = json.loads((file.parent / "files" / value).read_text())
                        run.table = [dict(zip(stored["columns"], cells, strict=True)) for cells in stored["data"]]
                    elif not key.startswith(("_", "comparison/")):
                        run.history.setdefault(key, []).append((record.history.step.num, value))
            elif kind == "summary":
                run.final |= {
                    item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.summary.update
                }
            elif kind == "exit":
                run.state = states[record.exit.exit_code]
    named = {run.name: run for run in runs.values()}
    assert len(named) == len(runs)
    return named


def _items(items: Any) -> Iterator[tuple[str, Any]]:
    for item in items:
        yield item.key or "/".join(item.nested_key), json.loads(item.value_json)


def _records(file: Path) -> Iterator[Any]:
    """The records of a file: LevelDB's log format behind a header of seven bytes."""
    messages: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    data, place, held = file.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        checksum, size, kind = struct.unpack("<IHB", data[place : place + 7])
        part = data[place + 7 : place + 7 + size]
        assert zlib.crc32(part, zlib.crc32(bytes([kind]))) == checksum
        held, place = held + part, place + 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield messages.Record.FromString(held)
            held = b""


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


READERS = {"tensorboard": read_tensorboard, "mlflow": read_mlflow, "trackio": read_trackio, "wandb": read_wandb}
