"""What a study says of itself: `study.json` in its folder, which lists every run that was ever asked for there."""

from __future__ import annotations

import json
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minform_cli import __version__
from minform_cli.errors import InputError, MachineError
from minform_cli.results import FORMAT, check_format, grid_value, read_json, write_atomic

FILE = "study.json"


class RunEntry(BaseModel):
    """One run of a study: what it is, and its folder below the study's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: str
    grid: dict[str, Any]
    seed: int = Field(ge=0)
    folder: str


class StudyRecord(BaseModel):
    """What `study.json` holds.

    Attributes:
        format: version of the folder's layout.
        minform: the version that wrote it last.
        preset, variants, seeds: as the user named them, in the order they came.
        set: settings of every run, by dotted key.
        grid: values of the swept settings, by dotted key.
        skipped: what is no model here -> why.
        init: folder of the study or run that the runs start from; None: from chance.
        runs: every run that was asked for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    minform: str = __version__
    preset: str
    variants: list[str]
    seeds: list[int]
    set: dict[str, Any]
    grid: dict[str, list[Any]]
    skipped: dict[str, str]
    init: str | None = None
    runs: list[RunEntry] = Field(min_length=1)

    def extended(self, by: StudyRecord) -> StudyRecord:
        """This study with the variants, seeds, grid values and runs of another in the same folder after its own."""
        return StudyRecord(
            preset=by.preset,
            variants=_union(self.variants, by.variants),
            seeds=_union(self.seeds, by.seeds),
            set=by.set,
            grid={key: _union(self.grid.get(key, []), by.grid.get(key, [])) for key in {**self.grid, **by.grid}},
            skipped=self.skipped | by.skipped,
            init=by.init,
            runs=_union(self.runs, by.runs),
        )

    def command(self) -> str:
        """The command that does this study anew; as few options as say it."""
        words = ["minform", "compare", "--preset", self.preset]
        for variant in self.variants:
            words += ["--variant", variant]
        for key, value in self.set.items():
            words += ["--set", f"{key}={grid_value(value)}"]
        for key, values in self.grid.items():
            words += ["--grid", f"{key}={','.join(map(grid_value, values))}"]
        if self.init is not None:
            words += ["--init", self.init]
        counted = self.seeds == list(range(len(self.seeds)))
        seeds = ["--seeds", str(len(self.seeds))] if counted else []
        unsaid = "" if counted else f"  # seeds {', '.join(map(str, self.seeds))}: from a study file"
        return shlex.join([*words, *seeds]) + unsaid


def read_record(folder: Path) -> StudyRecord:
    """What `study.json` in `folder` says.

    Raises:
        InputError: there is none, it is damaged, or its format is another version's.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder} is not a study's folder: it has no {FILE}")
    content = read_json(path, "study")
    check_format(content, path)
    try:
        record = StudyRecord.model_validate(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"study {path} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    for run in record.runs:
        inside = PurePosixPath(run.folder)
        if inside.is_absolute() or ".." in inside.parts:
            raise InputError(f"study {path} is damaged: the folder {run.folder!r} lies outside")
    return record


def write_record(folder: Path, record: StudyRecord) -> None:
    """Writes `study.json` into `folder`, which is made if need be; an equal one is left untouched.

    Raises:
        MachineError: the folder cannot be written.
    """
    described = (json.dumps(record.model_dump(), indent=2, allow_nan=False) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"cannot write to {folder}: {error.strerror or error}") from error
    path = folder / FILE
    if not path.is_file() or path.read_bytes() != described:
        write_atomic(path, described)


def _union(first: list[Any], second: list[Any]) -> list[Any]:
    return [*first, *(item for item in second if item not in first)]
