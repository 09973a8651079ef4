"""One trial, in whatever process: trained rung by rung among those that its folder's neighbours have come to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from minform_cli.errors import NumericalError
from minform_cli.files import RunFolder, write_json
from minform_cli.runs.progress import Listener, Progress, silent
from minform_cli.runs.seal import read_sealed, sealed
from minform_cli.searching.halving import Standing, goes_on, rungs, scores
from minform_cli.searching.space import Point
from minform_cli.training.part import train_in_part
from minform_cli.training.prepare import Prepared

RESULT = RunFolder(Path()).trial.name
"""File that a trial's folder ends with: `state`, `epochs` of `of`, `score`, `metric`, `parameters`, `first_score`."""

KIND = "trial"


def train_trial(
    run: Prepared,
    out: Path,
    /,
    *,
    resume: bool,
    device: str,
    threads: int | None,
    on_progress: Listener | None,
) -> None:
    """Trains the run in `out` until it is stopped for the others' sake or its last epoch is done; leaves `RESULT`.

    A trial that a number is no longer finite in has come to its end, too. The test set is not read.

    Raises:
        InputError, MachineError, Interrupted: as `training.run.train`.
    """
    tell = on_progress or silent
    ended = read_trial(out)
    if ended is not None:  # by another process, since it was asked for
        metrics = {f"val_{ended['metric']}": ended["score"]}
        tell(Progress("done", ended["epochs"], ended["of"], metrics=metrics, metric=ended["metric"]))
        return
    last, left = Progress("note"), False

    def listen(news: Progress) -> None:
        nonlocal last
        if news.kind not in ("note", "begin"):
            last = news
        tell(news)

    def promising(epoch: int) -> bool:
        nonlocal left
        if epoch in rungs(last.epochs):
            own = scores(out, last.metric)[epoch]
            left = not goes_on(Standing(own, size_of(out)), list(_others(out, epoch, last.metric)))
        return not left

    try:
        last = train_in_part(run, out, promising, resume=resume, device=device, threads=threads, on_progress=listen)
        state = "stopped" if left else "trained"
    except NumericalError as error:
        tell(Progress("note", text=str(error)))
        state = "diverged"
    write_json(out / RESULT, sealed(KIND, _result(out, state, last)))
    tell(replace(last, kind="done"))


def read_trial(folder: Path) -> dict[str, Any] | None:
    """What a trial came to; None while it has not come to its end.

    Raises:
        InputError: its file is damaged.
    """
    return read_sealed(folder / RESULT, KIND) if (folder / RESULT).is_file() else None


def _result(out: Path, state: str, last: Progress) -> dict[str, Any]:
    known = scores(out, last.metric)
    return {
        "state": state,
        "epochs": max(known, default=0),
        "of": last.epochs,
        "metric": last.metric,
        "score": known[max(known)] if known else 0.0,
        "first_score": known.get(min(rungs(last.epochs), default=max(known, default=0))),
        "parameters": size_of(out),
    }


def earlier(out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Number and end of each trial in the search's folder `out` that has come to its end."""
    for file in sorted(out.glob(f"trials/*/{RESULT}")):
        yield file.parent.name, read_sealed(file, KIND)


def write_choice(folder: Path, point: Point, parameters: int) -> None:
    """Leaves beside a trial's folder what it is of."""
    write_json(_choice(folder), sealed(KIND, {"point": dict(point), "parameters": parameters}))


def size_of(folder: Path) -> int:
    """Parameters of the trial in `folder`; `InputError` if what says so is missing or damaged."""
    return int(read_sealed(_choice(folder), KIND)["parameters"])


def _others(out: Path, epoch: int, metric: str) -> Iterator[Standing]:
    """The other trials that have had so many epochs."""
    for folder in sorted(out.parent.iterdir()):
        if folder != out and folder.is_dir() and _choice(folder).is_file():
            reached = scores(folder, metric)
            if epoch in reached:
                yield Standing(reached[epoch], size_of(folder))


def _choice(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")
