"""The whole path of a reduction: the run read, made smaller, compared, healed; and its folder, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from minform_cli.errors import InputError
from minform_cli.files import RunFolder, check_folder
from minform_cli.reducing.asked import portable
from minform_cli.reducing.heal import Healing, heal
from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.records import ReduceRecord, read_records
from minform_cli.reducing.run import (
    Reduced,
    Reduction,
    Tell,
    first_of,
    prepared,
    reduced,
    scored,
    shown_to_both,
    with_original,
)
from minform_cli.reducing.said import command, healing_warnings
from minform_cli.reducing.sources import IMPORTED, finished, is_imported, opened
from minform_cli.runs.folder import contents
from minform_cli.runs.made import beside, write_run
from minform_cli.runs.progress import Listener, Progress
from minform_cli.runs.stored import StoredRun
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.runtime import runtime

REDUCED = "reduced"
"""Folder, inside a healed run's, of the run before healing."""


Writer = Callable[[Path, Sequence[ReduceRecord], str, Tell], None]
"""Writes what people read of a reduction into a folder: `minform_cli.report.reduce_files.write_files`."""


def reduce_run(
    source: str, out: Path, options: ReduceOptions, on_progress: Listener, write: Writer
) -> list[ReduceRecord]:
    """Reduces a run and writes what came of it.

    Args:
        source: folder of a finished run, or another library's model.
        out: the folder to write, absent or empty; with several budgets a folder for each lies in it.
        options: how.
        on_progress: is told what takes long, which pictures are missing, and how healing goes.
        write: writes records, tables and pictures beside the run.

    Returns:
        A record for each budget, or one.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`; nothing is left of `out`, but
            for a run that is being healed, which goes on with `resume`.
    """
    _check_out(out, options)
    weights = None if options.weights is None else Path(options.weights)
    with opened(source, weights, out if options.resume else None) as run:
        if options.heal is None:
            return _made(run, source, out, options, _teller(on_progress), write)
        return [_healed(run, source, out, options, on_progress, write)]


def _teller(on_progress: Listener) -> Tell:
    return lambda text: on_progress(Progress(kind="note", text=text))


def _check_out(out: Path, options: ReduceOptions) -> None:
    check_folder(out)
    if not contents(RunFolder(out)):
        return
    if not options.resume:
        more = " --resume goes on with the healing in it," if (out / REDUCED).is_dir() else ""
        raise InputError(f"{out} is not empty:{more} --out names another folder")
    if not RunFolder(out / REDUCED).is_finished():
        raise InputError(
            f"{out} holds no healing to go on with: it has no run in {REDUCED}; --out names another folder"
        )


def _made(
    run: StoredRun, source: str, out: Path, options: ReduceOptions, tell: Tell, write: Writer
) -> list[ReduceRecord]:
    """Every budget, without healing."""
    with StopRequest("nothing was written") as stop, runtime("cpu", options.threads):
        task = prepared(run, source, options)
        found = [(budget, first_of(task, budget)) for budget in options.budgets or (None,)]
        task = with_original(task, stop, tell)
        done: list[Reduced] = []
        for budget, first in found:
            if budget is not None:
                tell(f"comparing {budget} with the original")
            done.append(reduced(task, budget, first, stop, tell))
        stop.check()
        with beside(out) as folder:
            records = _written(folder.path, out, done)
            write(folder.path, records, command(source, options, ",".join(options.budgets) or None), tell)
            stop.check()
    return records


def _written(folder: Path, out: Path, done: Sequence[Reduced]) -> list[ReduceRecord]:
    """Writes the runs into `folder`, which will be `out`."""
    records: list[ReduceRecord] = []
    for each in done:
        name = portable(str(each.record["asked"]["budget"])) if len(done) > 1 else ""
        if not name:
            folder.rmdir()  # the run gets its name
        write_run(folder / name, each.made)
        records.append({**each.record, "out": str(out / name)})
    return records


def _healed(
    run: StoredRun, source: str, out: Path, options: ReduceOptions, on_progress: Listener, write: Writer
) -> ReduceRecord:
    """One run, healed; goes on where it was stopped."""
    assert options.heal is not None
    tell = _teller(on_progress)
    with StopRequest("nothing was written") as stop, runtime("cpu", options.threads):
        task = prepared(run, source, options)
        assert task.calibrated_on is not None, "healing without data is refused"
        data = task.calibrated_on.shown()
        begun = (out / REDUCED).is_dir()
        record = _begun(task, out) if begun else _begin(task, out, stop, tell, write)
    original = finished(out / IMPORTED) if is_imported(source) else run
    how = Healing(steps=options.heal, labels=float(options.labels), seed=options.seed)
    heal(finished(out / REDUCED), original, data, out, how, threads=options.threads, on_progress=on_progress)
    with StopRequest("to go on, repeat the command with --resume") as stop, runtime("cpu", options.threads):
        record = _measured_again(task, out, record, stop)
        write(out, [record], record["command"], tell)
    return record


def _begin(task: Reduction, out: Path, stop: StopRequest, tell: Tell, write: Writer) -> ReduceRecord:
    """Writes the run before healing, and an imported original, which is followed."""
    budget = next(iter(task.options.budgets), None)
    first = first_of(task, budget)
    task = with_original(task, stop, tell)
    done = reduced(task, budget, first, stop, tell)
    record: ReduceRecord = {**done.record, "out": str(out / REDUCED)}
    stop.check()
    with beside(out) as folder:
        write_run(folder.path / REDUCED, done.made)
        write(folder.path / REDUCED, [record], record["command"], tell)
        if is_imported(task.source):
            shutil.copytree(task.run.folder.path, folder.path / IMPORTED)
        stop.check()
    return record


def _begun(task: Reduction, out: Path) -> ReduceRecord:
    """What was begun in `out`, once it is known to be what is asked now."""
    (record,) = read_records(out / REDUCED)
    now = command(task.source, task.options, next(iter(task.options.budgets), None))
    if record["command"] != now:
        raise InputError(
            f"{out} is another reduction: it was begun with {record['command']!r}, and this is {now!r}; going on needs "
            "the same, --out names another folder"
        )
    return record


def _measured_again(task: Reduction, out: Path, record: ReduceRecord, stop: StopRequest) -> ReduceRecord:
    """The record with what was measured after healing."""
    import torch

    run = finished(out)
    model = run.model(task.spec, torch.device("cpu")).eval()
    found = scored(task, model, shown_to_both(task), stop)
    measure = record["measure"]
    healing = {"steps": task.options.heal, "labels": task.options.labels, "seed": task.options.seed}
    return {
        **record,
        "out": str(out),
        "measure": None if measure is None else {**measure, "healed": found},
        "healing": healing,
        "notes": [
            *record["notes"],
            *healing_warnings(None if measure is None else measure["after"], found, str(out / REDUCED)),
        ],
    }
