"""The public Python API: what the commands do, as functions that take the same settings and return the same records.

Everything that can be wrong with names and settings is found before torch is imported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.config.names import BASELINE, DEFAULT_PRESET
from minform_cli.config.presets import legal_variants, resolve
from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec, spec_for
from minform_cli.errors import InputError, unknown_name
from minform_cli.results import (
    CompareRecord,
    CountedRecord,
    EvaluationRecord,
    LayerRecord,
    Listener,
    ResultRecord,
    RunFolder,
)
from minform_cli.tasks import TASKS

if TYPE_CHECKING:
    from minform_cli.study.execute import StudyListener
    from minform_cli.training.launch import Launch

SPLITS = ("train", "val", "test")
CHECKPOINTS = ("last", "best")
DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")


def count(
    preset: str = DEFAULT_PRESET,
    variants: Sequence[str] = (),
    settings: Sequence[str] = (),
    *,
    examples: int | None = None,
    outputs: int | None = None,
    batch_size: int | None = None,
    budget: str | None = None,
) -> list[CountedRecord]:
    """Counts variants of a preset without training and without allocating a weight.

    Args:
        preset: a shipped preset's name or a path to a YAML file.
        variants: names or paths, each possibly joined by ``+``; none means every shipped variant that is legal.
        settings: ``section.field=value`` texts.
        examples, outputs: K and M of the determination ratio Q = K M / P, over the data set's own.
        batch_size: examples whose activations are counted, too.
        budget: ``10%``, ``500k``: instead of `variants`, all combinations of shipped ones that fit, smallest first.

    Returns:
        One record a variant, in the order given.

    Raises:
        InputError: a name, key or value is wrong, or a variant asked for is no legal model.
    """
    configs, spec = counted_configs(preset, variants, settings, budget)
    return count_configs(configs, spec, examples=examples, outputs=outputs, batch_size=batch_size)


def count_configs(
    configs: Sequence[RunConfig],
    spec: DataSpec,
    *,
    examples: int | None = None,
    outputs: int | None = None,
    batch_size: int | None = None,
) -> list[CountedRecord]:
    """One record a config; `count` for what `counted_configs` returned."""
    from minform_cli.counting.count import count_config
    from minform_cli.counting.memory import cost_record

    records: list[CountedRecord] = []
    for config in configs:
        counted = count_config(config, spec, examples=examples, outputs=outputs)
        cost = cost_record(config, spec, counted["parameters"], batch_size)
        records.append(CountedRecord(**counted, cost=cost))
    return records


def layers(
    preset: str = DEFAULT_PRESET, variants: Sequence[str] = (), settings: Sequence[str] = ()
) -> list[LayerRecord]:
    """Where in the models their parameters are: one record a module, variant after variant.

    Args:
        preset, settings: as for `count`.
        variants: as for `count`; none means the baseline.

    Raises:
        InputError: as `count`.
    """
    configs, spec = counted_configs(preset, variants or [BASELINE], settings)
    from minform_cli.counting.layers import layer_records

    return [record for config in configs for record in layer_records(config, spec)]


def counted_configs(
    preset: str, variants: Sequence[str], settings: Sequence[str], budget: str | None = None
) -> tuple[list[RunConfig], DataSpec]:
    """The configs that `count` counts, and their data set's spec. Imports no torch but for a budget."""
    if budget is not None:
        if variants:
            raise InputError("--budget: finds the variants itself; accepted: --budget or --variant")
        spec = checked_spec(resolve(preset, BASELINE, settings).config)
        from minform_cli.counting.budget import fitting

        return fitting(preset, settings, budget, spec), spec
    names = variants or legal_variants(preset, settings)
    configs = [resolve(preset, name, settings).config for name in names]
    specs = [checked_spec(config) for config in configs]
    return configs, specs[0]


def checked_spec(config: RunConfig) -> DataSpec:
    """The spec of the config's data set, once all that can be wrong with the config is checked. Imports no torch."""
    if config.task not in TASKS.names():
        raise unknown_name("task", config.task, TASKS.names(), f"preset {config.preset}")
    return spec_for(config)


def check_device(name: str) -> None:
    """Raises `InputError` if `name` is no device's name; whether it is there is for torch to say."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        raise unknown_name("device", name, DEVICES, "--device")


def train(
    preset: str = DEFAULT_PRESET,
    variant: str = BASELINE,
    settings: Sequence[str] = (),
    *,
    seed: int = 0,
    out: Path | str | None = None,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    on_progress: Listener | None = None,
    launch: Launch | None = None,
) -> ResultRecord:
    """Trains one variant with one seed.

    Args:
        preset, variant, settings: as for `count`.
        seed: of weights, data order, augmentation and dropout.
        out: the run folder; by default ``runs/PRESET-VARIANT-seedN``.
        resume: go on from the folder's last checkpoint, to the same bits as without the stop.
        device: `auto`, `cpu`, `cuda` or `mps`.
        threads: CPU threads; None leaves torch's choice.
        on_progress: is told how it goes.
        launch: this process among several that train the run together (`minform_cli.training.launch.launched` says
            it under torchrun), all of which call this; None trains in this process alone.

    Returns:
        What the run's ``result.json`` holds.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`.
    """
    config = resolve(preset, variant, settings, seed).config
    checked_spec(config)
    check_device(device)
    from minform_cli.training.run import train as train_run

    folder = Path(out) if out is not None else default_run_folder(config)
    return train_run(
        config, folder, resume=resume, device=device, threads=threads, on_progress=on_progress, launch=launch
    )


def evaluate(
    run: Path | str,
    split: str = "val",
    *,
    checkpoint: str = "last",
    device: str = "auto",
    threads: int | None = None,
) -> EvaluationRecord:
    """Measures a trained run, rebuilt from its folder alone.

    Args:
        run: the run folder.
        split: `train`, `val` or `test`.
        checkpoint: `last` or `best` (by validation accuracy).
        device, threads: as for `train`.

    Raises:
        InputError: the folder is incomplete, damaged or of another version, its data changed, or a name is unknown.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS, "--split")
    if checkpoint not in CHECKPOINTS:
        raise unknown_name("checkpoint", checkpoint, CHECKPOINTS, "--checkpoint")
    folder = Path(run)
    if not RunFolder(folder).config.is_file():
        raise InputError(f"{folder} is not a run folder: it has no {RunFolder(folder).config.name}")
    check_device(device)
    from minform_cli.training.evaluate import evaluate_run

    return evaluate_run(folder, split, which=checkpoint, device=device, threads=threads)  # type: ignore[arg-type]


def compare(
    preset: str | None = None,
    variants: Sequence[str] = (),
    settings: Sequence[str] = (),
    *,
    seeds: int | None = None,
    out: Path | str | None = None,
    grid: Sequence[str] = (),
    study: str | None = None,
    jobs: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    margin: float | None = None,
    reference: str = BASELINE,
    on_progress: StudyListener | None = None,
) -> list[CompareRecord]:
    """Trains variants over seeds and compares them. Finished runs in the folder are reused, begun ones go on.

    Args:
        preset, settings: as for `count`.
        variants: as for `count`; none means the default comparison, as far as it is legal for the preset.
        seeds: how many, from 0 on; the same for every variant, so that differences are paired. None takes 3.
        out: the study's folder; by default ``runs/compare-PRESET`` or ``runs/study-STUDY``.
        grid: ``section.field=value,value`` texts: every combination of the values is a group of rows of its own.
        study: a shipped study's name or a path to a YAML file, for what the other arguments leave open.
        jobs: runs side by side; None takes one per CPU core, or one on a GPU.
        device: as for `train`.
        threads: CPU threads of each run; None takes 1 on a CPU.
        margin: how much less accuracy is acceptable, as a fraction: gives the verdict `not_worse`.
        reference: the variant that differences and verdicts refer to.
        on_progress: is told how each run goes.

    Returns:
        One record a variant and grid point. The study's folder ends with its tables and, where matplotlib is
        installed, with ``report.html``.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`.
    """
    from minform_cli.comparison import plan_comparison, run_comparison, write_files

    check_device(device)
    plan = plan_comparison(preset, variants, settings, seeds=seeds, out=out, grid=grid, study=study)
    found = run_comparison(
        plan,
        jobs=jobs,
        device=device,
        threads=threads,
        margin=margin,
        reference=reference,
        on_progress=on_progress,
    )
    assert found is not None, "only a process of a launch has nothing to report"
    write_files(plan.out, margin=margin, device=device, tell=lambda _: None)
    return found.records


def redraw(
    folder: Path | str, *, margin: float | None = None, reference: str = BASELINE, device: str = "auto"
) -> list[CompareRecord]:
    """The comparison in a study's folder, with nothing trained; its tables and its report are written anew.

    Args:
        folder: the study's, with one finished run at least.
        margin, reference: as for `compare`; the files refer to the baseline.
        device: for what the report has to measure; nothing is measured twice.

    Returns:
        One record a variant and grid point.

    Raises:
        InputError, MachineError: see `minform_cli.errors`.
    """
    from minform_cli.comparison import stored_comparison, write_files

    check_device(device)
    comparison, _ = stored_comparison(Path(folder), margin, reference)
    write_files(Path(folder), margin=margin, device=device, tell=lambda _: None)
    return comparison.records


def default_run_folder(config: RunConfig) -> Path:
    """``runs/PRESET-VARIANT-seedN``, where `train` puts a run without ``--out``."""
    from minform_cli.study.folders import file_name

    return Path("runs") / f"{file_name(config.preset)}-{file_name(config.variant)}-seed{config.seed}"
