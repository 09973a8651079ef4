"""From variants, grid and seeds to the runs of a study: which, in which folders, and which are finished already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minform_cli import __version__
from minform_cli.config.names import FROM_RUN, OF_RUN
from minform_cli.config.presets import BASELINE, DEFAULT_PRESET, parse_settings, resolve
from minform_cli.config.schema import NUM_SEEDS, DataConfig, RunConfig
from minform_cli.config.setting import Setting
from minform_cli.counting.records import row_label
from minform_cli.counting.variants import check
from minform_cli.data.source import Source, opened
from minform_cli.errors import IllegalModelError, InputError, counted
from minform_cli.files import RunFolder
from minform_cli.runs import folder as run_folder
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_start
from minform_cli.study.extension import begun_config, check_extends
from minform_cli.study.folders import folder_name, point_folder
from minform_cli.study.grid import Grid, points
from minform_cli.study.record import RunEntry, StudyRecord
from minform_cli.study.starts import Starts

DEFAULT_VARIANTS = (BASELINE, "no-mlp", "no-mlp+collapsed-qk", "no-mlp+symmetric", "minimal")
"""What a study compares if it is told nothing else, as far as the preset and the settings allow it."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        config: with every setting resolved.
        source: its data, whose files the whole study has looked at once.
        folder: where it lies or will lie.
        finished: whether its result was there when the plan was made.
        begun: whether it had been begun or finished then.
        grid: the swept settings by dotted key; empty without a grid.
        made_by: the minform version that began it.
        fingerprint: checksum of the data it was begun with.
    """

    config: RunConfig
    source: Source = field(repr=False, compare=False)
    folder: Path
    finished: bool
    begun: bool = False
    grid: dict[str, Any] = field(default_factory=dict[str, Any], hash=False)
    made_by: str | None = None
    fingerprint: str | None = None

    def __str__(self) -> str:
        return f"{row_label(self.config.variant, self.grid)}, seed {self.config.seed}"


@dataclass(frozen=True)
class Plan:
    """The runs of a study.

    Attributes:
        out: the study's folder.
        preset: as the user named it.
        variants: as the user named them, in that order.
        seeds: of every variant.
        settings: of every run, by dotted key.
        grid: values of the swept settings, by dotted key.
        runs: grid point by grid point, variant by variant, seed by seed.
        skipped: what is no model here (a default variant, or a variant at a grid point) -> why.
        fingerprint: checksum of the data that the study's runs so far were made with; None before the first.
        init: folder of the study or run that the runs start from; None: from chance.
        before: the plan of that study, where its runs are still to be done.
    """

    out: Path
    preset: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: dict[str, Any]
    grid: dict[str, list[Any]]
    runs: tuple[PlannedRun, ...]
    skipped: dict[str, str]
    fingerprint: str | None = None
    init: str | None = None
    before: Plan | None = None

    @property
    def source(self) -> Source:
        """Its data."""
        return self.runs[0].source

    def stages(self) -> tuple[Plan, ...]:
        """What is to be done, in its order: the study that the runs start from, if it is to be done, and this one."""
        return (self,) if self.before is None else (*self.before.stages(), self)

    def record(self) -> StudyRecord:
        """The plan as ``study.json`` has it."""
        return StudyRecord(
            preset=self.preset,
            variants=list(self.variants),
            seeds=list(self.seeds),
            set=self.settings,
            grid=self.grid,
            skipped=self.skipped,
            init=self.init,
            runs=[
                RunEntry(
                    variant=run.config.variant,
                    grid=run.grid,
                    seed=run.config.seed,
                    folder=run.folder.relative_to(self.out).as_posix(),
                )
                for run in self.runs
            ],
        )

    def notes(self) -> list[str]:
        """What somebody who reuses runs should know of them."""
        others = sorted({run.made_by for run in self.runs if run.made_by not in (None, __version__)}, key=str)
        return [
            f"{sum(run.made_by == other for run in self.runs)} of {counted(len(self.runs), 'run')} were begun by "
            f"minform {other}, this is {__version__}: equal to the bit is only what one version made"
            for other in others
        ] + list(dict.fromkeys(note for run in self.runs for note in run.config.notes()))


def plan_study(
    out: Path,
    preset: str = DEFAULT_PRESET,
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    settings: Sequence[str] | Mapping[str, Setting] = (),
    grid: Grid | None = None,
    starts: Starts | None = None,
) -> Plan:
    """Plans grid points x variants x seeds; nothing is written.

    Args:
        out: the study's folder; every run gets ``<variant>/seed-<n>`` in it, with a grid
            ``<variant>/<point>/seed-<n>``.
        preset: name or path.
        variants: names, paths or combinations; none take `DEFAULT_VARIANTS`. ``run:FOLDER`` is the model of a stored
            run from chance, ``init:FOLDER`` started from its weights.
        seeds: of every variant, so that differences can be paired.
        settings: of every run: ``section.field=value`` texts, or settings by key.
        grid: values of swept settings; they win over the variant's, as `settings` do.
        starts: the runs to start from; None: from chance.

    Raises:
        InputError: a name or setting is wrong, something is listed twice, the folder holds another study or a run of
            other settings or data, or nothing that is asked for makes a model.
    """
    given = settings if isinstance(settings, Mapping) else parse_settings(settings)
    chosen, grid = tuple(variants or DEFAULT_VARIANTS), grid or {}
    _check_once("--variant", chosen)
    _check_once("--seeds", seeds)
    for seed in seeds:
        if not 0 <= seed < NUM_SEEDS:
            raise InputError(f"--seed: expected a whole number from 0 to {NUM_SEEDS - 1}, not {seed}")
    optional = bool(grid) or not variants  # a combination that nobody asked for by name may turn out to be no model
    skipped: dict[str, str] = {}
    runs: list[PlannedRun] = []
    begun, sources = begun_config(out), _Sources()
    for point in points(grid):
        for variant in chosen:
            try:
                configs = _configs(preset, variant, seeds, {**given, **point}, starts)
                if begun is not None:
                    configs = [config.begun_as(begun) for config in configs]
                source = sources.of(configs[0])
                check(configs[0], source.spec)  # a patch that does not fit the images is found here
                runs += _runs(out, variant, configs, source, _values(point))
            except IllegalModelError as error:
                if not optional:
                    raise
                skipped[row_label(variant, _values(point))] = str(error)
    if not runs:
        raise IllegalModelError(next(iter(skipped.values())))
    swept = {key: [setting.value for setting in values] for key, values in grid.items()}
    fingerprint = check_extends(out, runs[0].config, swept, {run.folder: run.fingerprint for run in runs})
    kept = tuple(variant for variant in chosen if any(run.config.variant == variant for run in runs))
    init = None if starts is None else str(starts.folder)
    return Plan(out, preset, kept, tuple(seeds), _values(given), swept, tuple(runs), skipped, fingerprint, init)


def _configs(
    preset: str, variant: str, seeds: Sequence[int], settings: Mapping[str, Setting], starts: Starts | None
) -> list[RunConfig]:
    """One for each seed; `IllegalModelError` if there is no such model."""
    if variant.startswith(FROM_RUN):
        start = read_start(Path(variant.removeprefix(FROM_RUN)))
        return [resolve(preset, variant, settings, seed, start).config for seed in seeds]
    if starts is not None and not variant.startswith(OF_RUN):
        return [resolve(preset, variant, settings, seed, starts.of(variant, seed)).config for seed in seeds]
    first = resolve(preset, variant, settings, seeds[0]).config
    return [first.model_copy(update={"seed": seed}) for seed in seeds]


class _Sources:
    """The data of a study, each data section's opened once."""

    def __init__(self) -> None:
        self._opened: dict[DataConfig, Source] = {}

    def of(self, config: RunConfig) -> Source:
        if config.data not in self._opened:
            self._opened[config.data] = opened(config.data)
        return self._opened[config.data]


def _runs(
    out: Path, variant: str, configs: Sequence[RunConfig], source: Source, grid: dict[str, Any]
) -> list[PlannedRun]:
    """The runs of one variant at one grid point."""
    folder = out / folder_name(variant) / (point_folder(grid) if grid else "")
    return [_planned(config, _own(source, config), folder / f"seed-{config.seed}", grid) for config in configs]


def _own(source: Source, config: RunConfig) -> Source:
    """The source under the run's own data section: started from another run, each seed has a tokenizer of its own."""
    return source if source.data == config.data else replace(source, data=config.data)


def _values(settings: Mapping[str, Setting]) -> dict[str, Any]:
    return {key: setting.value for key, setting in settings.items()}


def _planned(config: RunConfig, source: Source, folder: Path, grid: dict[str, Any]) -> PlannedRun:
    """The run, once what lies in its folder is known to be an earlier part of it, or nothing."""
    meta = run_folder.look(RunFolder(folder), config, resume=True)
    if meta is None:
        return PlannedRun(config, source, folder, finished=False, grid=grid)
    _check_initial(config, folder, meta)
    finished = RunFolder(folder).is_finished()
    if finished:
        read_result(folder)  # a damaged one must not surface after hours of other runs
    return PlannedRun(config, source, folder, finished, True, grid, meta["minform"], meta["fingerprint"])


def _check_initial(config: RunConfig, folder: Path, meta: Mapping[str, Any]) -> None:
    """Raises `InputError` if the run in `folder` was started from other weights than those that its start has now."""
    if config.init is None or not RunFolder(Path(config.init)).is_finished():
        return
    if read_result(Path(config.init))["weights_sha256"] != meta.get("initial"):
        raise InputError(
            f"{folder}: was started from other weights than those in {config.init}; --out names another folder"
        )


def _check_once(option: str, values: Sequence[object]) -> None:
    if not values:
        raise InputError(f"{option}: a study needs at least one")
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"{option} {value}: listed twice")
