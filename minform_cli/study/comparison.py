"""The whole path of a comparison, top to bottom: plan, runs, summary, and the files that its folder ends with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.config.names import BASELINE, DEFAULT_PRESET, FROM_RUN, OF_RUN
from minform_cli.config.presets import parse_settings
from minform_cli.config.schema import PLACES
from minform_cli.errors import InputError, named, unknown_name
from minform_cli.files import RunFolder, check_folder, write_atomic
from minform_cli.report.records import CompareRecord, PlanRecord
from minform_cli.runs.records import ResultRecord
from minform_cli.study.options import StudyOptions
from minform_cli.study.record import FILE as STUDY
from minform_cli.tasks import TASKS, check_labels, check_task

if TYPE_CHECKING:
    from minform_cli.data.source import Source
    from minform_cli.report.records import StudyDetails
    from minform_cli.study.over_examples import Examples
    from minform_cli.study.plan import Plan
    from minform_cli.study.stored import StoredStudy
    from minform_cli.study.worker import StudyListener

TABLES = {"table.md": "markdown", "table.tex": "latex", "table.csv": "csv", "table.json": "json"}
"""Tables in a study's folder -> their format."""

REPORT = "report.html"

DEFAULT = StudyOptions()

PRETRAIN = "pretrain"
"""Folder, inside a study's, of the study that its runs start from."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        records: one a variant and grid point.
        results: of the runs behind them.
        notes: what is missing, and which runs another minform version made.
        examples: what runs say of their examples.
    """

    records: list[CompareRecord]
    results: list[ResultRecord]
    notes: list[str]
    examples: Examples


def plan_comparison(options: StudyOptions) -> Plan:
    """The runs of a comparison; nothing is written. Imports no torch.

    Raises:
        InputError: a name or setting is wrong, or the folder holds something else.
    """
    from minform_cli.study.folders import file_name
    from minform_cli.study.grid import parse_grid
    from minform_cli.study.plan import plan_study
    from minform_cli.study.starts import planned_starts, read_starts
    from minform_cli.study.study_file import Study, read_study

    study = options.study
    told = read_study(study) if study is not None else Study(DEFAULT_PRESET)
    settings, grid = parse_settings(options.settings), parse_grid(options.grid)
    told = told.changed(options.preset, options.variants, options.each_seed(), settings, grid)
    name = f"compare-{file_name(told.preset)}" if study is None else f"study-{file_name(study)}"
    folder = Path(options.out) if options.out is not None else Path("runs") / name
    before, starts = None, None if options.init is None else read_starts(Path(options.init), folder)
    if options.scratch or (starts is not None and starts.is_own):
        told, starts = replace(told, variants=_rows_of(options, told.variants)), None
    if (pretrain := options.pretrain) is not None:
        if options.init is not None:
            raise InputError("--pretrain: trains what the runs start from, and --init names it; accepted: one of them")
        given_before = parse_settings(options.pretrain_settings, "--pretrain-set")
        with named(f"--pretrain {pretrain}"):
            before = plan_study(folder / PRETRAIN, pretrain, told.variants, told.seeds, given_before)
            _check_plan(before)
        starts = planned_starts(before)
    elif options.pretrain_settings:
        raise InputError("--pretrain-set: has no meaning without --pretrain")
    plan = plan_study(folder, told.preset, told.variants, told.seeds, told.settings, told.grid, starts)
    _check_plan(plan)
    return replace(plan, before=before)


def _rows_of(options: StudyOptions, variants: Sequence[str]) -> tuple[str, ...]:
    """The rows of a study of one run that is started from: its model is no variant with a name."""
    init, own = options.init, [name for name in variants if name.startswith((FROM_RUN, OF_RUN))]
    if init is None or (Path(init) / STUDY).is_file():
        raise InputError("--scratch: trains the model of one run from chance; accepted: with --init RUN, no study")
    for name in variants:
        if name not in (*own, BASELINE):
            raise InputError(
                f"--variant {name}: the model of --init {init} is its own; accepted: no --variant, --scratch for that "
                f"model from chance, {OF_RUN}FOLDER and {FROM_RUN}FOLDER for models of other runs"
            )
    rows = [f"{FROM_RUN}{init}", *([f"{OF_RUN}{init}"] if options.scratch else []), *own]
    return tuple(dict.fromkeys(rows))


def _check_plan(plan: Plan) -> None:
    """Raises `InputError` at the first row whose task does not go with its data or model."""
    for run in plan.runs[:: len(plan.seeds)]:
        if run.config.task not in TASKS.names():
            raise unknown_name("task", run.config.task, TASKS.names(), f"preset {run.config.preset}")
        check_labels(run.config)
        check_task(run.config, run.source.spec)


def check_plan(plan: Plan, options: StudyOptions = DEFAULT) -> None:
    """Finds what `run_comparison` would refuse before its first run, or during it: for a dry run, too. Writes nothing.

    Raises:
        InputError: the reference is no variant, --jobs is no number, seeds cannot be stacked, the folder is
            none, the device is not there, weights to start from are damaged, or the data are not those that the study
            was begun with.
        MachineError: the folder cannot be written.
    """
    from minform_cli.study.execute import check_jobs
    from minform_cli.study.extension import check_data
    from minform_cli.study.stacked import check_stacking
    from minform_cli.training.initial import weights_digest
    from minform_cli.training.runtime import choose_device

    if options.reference not in (BASELINE, *plan.variants):
        raise unknown_name("variant", options.reference, plan.variants, "--against")
    check_jobs(options.jobs)
    if options.stacks:
        check_stacking(plan, options)
    left = [run for run in plan.runs if not run.finished]
    if left:
        check_folder(plan.out)
        choose_device(options.own_device)
    for start in dict.fromkeys(run.config.init for run in left if run.config.init is not None):
        if RunFolder(Path(start)).is_finished():  # else it is a run of the stage before
            weights_digest(Path(start))
    if plan.fingerprint is not None and (left or _is_of_the_user(plan.source)):
        # What the path of a finished study names now may be other data than its results come from.
        check_data(plan.out, (left or plan.runs)[0].source, plan.fingerprint)


def _is_of_the_user(source: Source) -> bool:
    """Whether the data are files that lie where the user says."""
    return any(getattr(source.data, key) is not None for key in PLACES)


def preview(plan: Plan, options: StudyOptions = DEFAULT, tell: Callable[[str], None] | None = None) -> list[PlanRecord]:
    """The runs of a plan with parameters, state and the time they will take. Nothing is written."""
    from minform_cli.study.preview import preview as look

    return look(plan, device=options.device, threads=options.threads, tell=tell)


def run_comparison(
    plan: Plan,
    options: StudyOptions = DEFAULT,
    *,
    on_progress: StudyListener | None = None,
) -> Comparison:
    """Does what is left of a plan and summarises its rows.

    Args:
        plan: the runs.
        options: how they are done, and how judged.
        on_progress: is told how each run goes.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: as `check_plan` and `study.execute.execute`.
    """
    from minform_cli.study.execute import execute
    from minform_cli.study.extension import register
    from minform_cli.study.over_examples import collect_examples
    from minform_cli.study.stacked import execute_stacked
    from minform_cli.study.stored import check_same_data
    from minform_cli.study.summary import count_plan, summarise

    check_plan(plan, options)
    counts = count_plan(plan)  # a model that cannot be counted must not surface after hours of training
    fresh = next((run for run in plan.runs if not run.begun), None)
    if fresh is not None and plan.fingerprint is None and fresh.source.spec.kind != "images":
        fresh.source.load()  # images' files the plan has seen
    register(plan.out, plan.record())
    if options.stacks:
        results = execute_stacked(plan, device=options.device, threads=options.threads, on_progress=on_progress)
    else:
        results = execute(
            plan,
            jobs=options.jobs,
            device=options.device,
            threads=options.threads,
            on_progress=on_progress,
            on_ray=options.on_ray,
        )
    register(plan.out, plan.record())  # another command that came meanwhile kept what had been begun by then
    check_same_data(results)
    notes = plan.notes()
    runs = zip((run.folder for run in plan.runs), results, strict=True)
    examples = collect_examples(runs, notes.append)
    records = summarise(counts, results, options.margin, options.reference, examples)
    return Comparison(records, results, notes, examples)


def stored_comparison(folder: Path, options: StudyOptions = DEFAULT) -> tuple[Comparison, StoredStudy]:
    """What the finished runs in a study's folder say, with nothing trained.

    Args:
        folder: the study's.
        options: how they are judged.

    Raises:
        InputError: the folder holds no study, or a damaged one, or none of its runs is finished.
    """
    from minform_cli.study.over_examples import collect_examples
    from minform_cli.study.stored import read_study_folder
    from minform_cli.study.summary import summarise

    stored = read_study_folder(folder)
    results = list(stored.results)
    notes = list(stored.notes)
    examples = collect_examples(stored.runs(), notes.append)
    records = summarise(stored.counts(), results, options.margin, options.reference, examples)
    return Comparison(records, results, notes, examples), stored


def write_files(
    folder: Path, options: StudyOptions = DEFAULT, *, tell: Callable[[str], None], source: Source | None = None
) -> list[Path]:
    """Writes the tables and the report of all finished runs in a study's folder.

    Args:
        folder: the study's.
        options: how they are judged, and where the report measures what it has to.
        tell: is told what is measured, and what cannot be drawn.
        source: the study's data, where they have been opened.

    Returns:
        The files; one that is as it should be is left untouched.

    Raises:
        InputError: as `stored_comparison`.
        MachineError: the folder cannot be written.
    """
    from minform_cli.report.compare_table import compare_table
    from minform_cli.study.details import collect
    from minform_cli.study.losses import losses

    comparison, stored = stored_comparison(folder, options)
    for name, fmt in TABLES.items():
        put(folder / name, f"{compare_table(comparison.records, fmt)}\n")
    written = [folder / name for name in TABLES]
    try:
        lost = losses(comparison.results, comparison.examples, options.reference)
        details = collect(folder, stored.runs(), lost, device=options.own_device, tell=tell, source=source)
    except InputError as error:
        tell(f"no {REPORT}: {error}")
        return written
    put(folder / REPORT, _report(comparison, stored, details, tell))
    return [*written, folder / REPORT]


def put(path: Path, text: str) -> None:
    """Writes `text` to `path`, unless it stands there already; `MachineError` if that fails."""
    described = text.encode()
    if not path.is_file() or path.read_bytes() != described:
        write_atomic(path, described)


def _report(comparison: Comparison, stored: StoredStudy, details: StudyDetails, tell: Callable[[str], None]) -> str:
    from minform_cli.report.html import StudyReport, study_html

    record, first = stored.record, comparison.records[0]
    asked = [] if first["margin"] is None else ["--margin", f"{100 * first['margin']:g}"]
    asked += [] if first["reference"] == BASELINE else ["--against", first["reference"]]
    return study_html(
        StudyReport(
            title=f"{record.preset}: {', '.join(record.variants)}",
            records=comparison.records,
            results=comparison.results,
            details=details,
            command=record.command(*asked),
            settings=record.set,
            notes=[*comparison.notes, *(f"{name} left out: {reason}" for name, reason in record.skipped.items())],
        ),
        tell,
    )
