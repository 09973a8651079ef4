"""What a study says of itself: `study.json` in its folder, which lists every run that was ever asked for there."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minform_cli import __version__
from minform_cli.config.strict_yaml import dump_value
from minform_cli.counting.records import grid_key, row_label
from minform_cli.errors import InputError
from minform_cli.files import make_folder, read_json, write_atomic
from minform_cli.runs.records import FORMAT, check_format

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

    def command(self, *options: str) -> str:
        """What does this study anew: one command, or where it grew unevenly several, a line each; `options` in all."""
        whole = _Block(self.variants, self.grid, self.seeds)
        blocks = [whole] if whole.is_all_of(self.runs, self.skipped) else _blocks(self.runs)
        return "\n".join(shlex.join([*self._words(block), *options]) for block in blocks)

    def _words(self, block: _Block) -> list[str]:
        """The command for some of the runs; as few options as say it."""
        words = ["minform", "compare", "--preset", self.preset]
        for variant in block.variants:
            words += ["--variant", variant]
        for key, value in self.set.items():
            words += ["--set", f"{key}={dump_value(value)}"]
        for key, values in block.grid.items():
            words += ["--grid", f"{key}={','.join(map(dump_value, values))}"]
        if self.init is not None:
            words += ["--init", self.init]
        if block.seeds == list(range(len(block.seeds))):
            return [*words, "--seeds", str(len(block.seeds))]
        return words + [word for seed in block.seeds for word in ("--seed", str(seed))]


@dataclass(frozen=True)
class _Block:
    """Runs that one command does: every variant at every point of the grid with every seed."""

    variants: list[str]
    grid: Mapping[str, list[Any]]
    seeds: list[int]

    def is_all_of(self, runs: Sequence[RunEntry], skipped: Iterable[str] = ()) -> bool:
        """Whether it is `runs`, no less and no more, but for what is no model."""
        points = [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        rows = [(variant, point) for variant in self.variants for point in points]
        rows = [(variant, point) for variant, point in rows if row_label(variant, point) not in skipped]
        asked = {(variant, grid_key(point), seed) for variant, point in rows for seed in self.seeds}
        return asked == {(run.variant, grid_key(run.grid), run.seed) for run in runs}


def _blocks(runs: Sequence[RunEntry]) -> list[_Block]:
    """`runs` in as few blocks as simple cuts make: by what was swept, by variants, by seeds, by points."""
    block = _Block(
        list(dict.fromkeys(run.variant for run in runs)),
        {key: _union([], [run.grid[key] for run in runs if key in run.grid]) for run in runs for key in run.grid},
        list(dict.fromkeys(run.seed for run in runs)),
    )
    if block.is_all_of(runs):
        return [block]

    cuts: tuple[Callable[[RunEntry], Any], ...] = (
        lambda run: tuple(run.grid),
        lambda run: frozenset((grid_key(other.grid), other.seed) for other in runs if other.variant == run.variant),
        lambda run: frozenset(grid_key(other.grid) for other in runs if other.seed == run.seed),
        lambda run: grid_key(run.grid),
    )
    for cut in cuts:
        groups: dict[Any, list[RunEntry]] = {}
        for run in runs:
            groups.setdefault(cut(run), []).append(run)
        if len(groups) > 1:
            return [block for group in groups.values() for block in _blocks(group)]
    raise AssertionError("runs of one variant at one point are a block")


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
    make_folder(folder)
    path = folder / FILE
    if not path.is_file() or path.read_bytes() != described:
        write_atomic(path, described)


def _union(first: list[Any], second: Iterable[Any]) -> list[Any]:
    """Each once, in the order they came."""
    both = list(first)
    for item in second:
        if item not in both:
            both.append(item)
    return both
