"""A folder ``wandb`` as wandb leaves it: a folder a run, its records a log of LevelDB's kind with wandb's messages."""

from __future__ import annotations

import importlib
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError, counted
from minform_cli.registry import installed
from minform_cli.tables.records import Cell, Row, Sheet
from minform_cli.tables.text_files import at_least_one, flat

_FILES = "*run-*/run-*.wandb"
_MAGIC, _HEADER, _BLOCK = b":W&B", 7, 32768
"""What a file begins with; bytes of its header, and of each part's; bytes of a block, at whose end no part begins."""


def is_wandb(folder: Path) -> bool:
    """Whether runs of wandb lie in `folder`."""
    return any(folder.glob(_FILES))


def read_wandb(folder: Path) -> Sheet:
    """The runs that have ended well, with their configs and summaries; parts of one run, as it was resumed, are one.

    Raises:
        InputError: wandb is not installed, or no run is finished.
    """
    if not installed("wandb"):
        raise InputError(f"{folder}: its runs need wandb, which is not installed; try: pip install 'minform[wandb]'")
    runs: dict[str, dict[str, Cell]] = {}
    ended: dict[str, bool] = {}
    places: dict[str, str] = {}
    for file in sorted(folder.glob(_FILES), key=_begun):
        id = file.stem.removeprefix("run-")
        cells, places[id], ended[id] = runs.setdefault(id, {}), str(file.parent), False
        for record in records(file):
            match record.WhichOneof("record_type"):
                case "run":
                    cells["run_name"] = str(record.run.display_name or id)
                    cells |= flat({"config": {item.key: _value(item) for item in record.run.config.update}})
                case "summary":
                    for item in record.summary.update:
                        cells |= flat({"summary": {item.key or ".".join(item.nested_key): _value(item)}})
                case "exit":
                    ended[id] = record.exit.exit_code == 0
                case _:
                    pass
    whole = {id: cells for id in runs if ended[id] and _is_scored(cells := _without_media(runs[id]))}
    columns = tuple(dict.fromkeys(key for cells in whole.values() for key in cells))
    left = len(runs) - len(whole)
    return Sheet(
        shape="a folder of wandb",
        columns=columns,
        rows=at_least_one([Row(places[id], cells) for id, cells in whole.items()], folder),
        aside=frozenset({"run_name", *(name for name in columns if name.startswith(("config._", "summary._")))}),
        run_name="run_name",
        notes=(f"{counted(left, 'run')} left out: not finished, or without a number in the summary",) if left else (),
    )


def _begun(file: Path) -> tuple[str, int]:
    """When the run, or the part of it, began, to the second; of those of one second, when it was last written."""
    second = file.parent.name.rpartition("run-")[2].partition("-")[0]
    return second, file.stat().st_mtime_ns


def last_step(files: list[Path]) -> int | None:
    """The last step in these files of a run; None if there are none."""
    steps = [
        record.history.step.num
        for file in files
        for record in records(file)
        if record.WhichOneof("record_type") == "history"
    ]
    return max(steps, default=-1) if files else None


def records(file: Path) -> Iterator[Any]:
    """The records in a file, to the first that is damaged or that a killed process left undone."""
    messages: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    damaged: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError
    for raw in _raw(file):
        try:
            yield messages.Record.FromString(raw)
        except damaged:
            return


def _raw(file: Path) -> Iterator[bytes]:
    """The bytes of each record, whose checksums are right."""
    with file.open("rb") as data:
        whole = data.read(_HEADER)[: len(_MAGIC)] == _MAGIC
        held = b""
        while whole:
            if (left := _BLOCK - data.tell() % _BLOCK) < _HEADER:
                data.read(left)
            header = data.read(_HEADER)
            if len(header) < _HEADER:
                return
            checksum, size, kind = struct.unpack("<IHB", header)
            part = data.read(size)
            if zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
                return
            held = part if kind in (1, 2) else held + part
            if kind in (1, 4):  # a record by itself, or the last part of one
                yield held


def _value(item: Any) -> Any:
    try:
        return json.loads(item.value_json)
    except (ValueError, RecursionError):  # no number or text that a table could hold
        return None


def _without_media(cells: dict[str, Cell]) -> dict[str, Cell]:
    """The cells but for those of tables, pictures and the like, which say their ``_type``."""
    media = tuple(key.removesuffix("_type") for key in cells if key.endswith("._type"))
    return {key: value for key, value in cells.items() if not media or not key.startswith(media)}


def _is_scored(cells: dict[str, Cell]) -> bool:
    """Whether a number stands in the summary beside what wandb itself puts there."""
    return any(
        isinstance(value, int | float) for key, value in cells.items() if key.startswith("summary.") and key[8] != "_"
    )
