"""Studies: training variants over seeds, comparing them, and drawing a study again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.api.checks import check_device
from minform_cli.config.names import BASELINE
from minform_cli.results import CompareRecord

if TYPE_CHECKING:
    from minform_cli.study.execute import StudyListener


def compare(
    preset: str | None = None,
    variants: Sequence[str] = (),
    settings: Sequence[str] = (),
    *,
    seeds: int | Sequence[int] | None = None,
    out: Path | str | None = None,
    grid: Sequence[str] = (),
    study: str | None = None,
    jobs: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    margin: float | None = None,
    reference: str = BASELINE,
    on_progress: StudyListener | None = None,
    init: Path | str | None = None,
    pretrain: str | None = None,
    pretrain_settings: Sequence[str] = (),
) -> list[CompareRecord]:
    """Trains variants over seeds and compares them. Finished runs in the folder are reused, begun ones go on.

    Args:
        preset, settings: as for `count`.
        variants: as for `count`; none means the default comparison, as far as it is legal for the preset.
        seeds: how many, from 0 on, or which; the same for every variant, so that differences are paired. None takes 3.
        out: the study's folder; by default ``runs/compare-PRESET`` or ``runs/study-STUDY``.
        grid: ``section.field=value,value`` texts: every combination of the values is a group of rows of its own.
        study: a shipped study's name or a path to a YAML file, for what the other arguments leave open.
        jobs: runs side by side; None takes one per CPU core, or one on a GPU.
        device: as for `train`.
        threads: CPU threads of each run; None takes 1 on a CPU.
        margin: how much less accuracy is acceptable, as a fraction: gives the verdict `not_worse`.
        reference: the variant that differences and verdicts refer to.
        on_progress: is told how each run goes.
        init: folder of a study: every run starts from its run of the same variant and seed; or of one run, for all.
        pretrain: preset of a study that is done first, in the folder ``pretrain``, as what `init` names.
        pretrain_settings: ``section.field=value`` texts for that study.

    Returns:
        One record a variant and grid point. The study's folder ends with its tables and ``report.html``, which has
        pictures where matplotlib is installed.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`.
    """
    from minform_cli.comparison import plan_comparison, run_comparison, write_files

    check_device(device)
    plan = plan_comparison(
        preset,
        variants,
        settings,
        seeds=seeds,
        out=out,
        grid=grid,
        study=study,
        init=init,
        pretrain=pretrain,
        pretrain_settings=pretrain_settings,
    )
    records: list[CompareRecord] = []
    for stage in plan.stages():
        found = run_comparison(
            stage,
            jobs=jobs,
            device=device,
            threads=threads,
            margin=margin,
            reference=reference,
            on_progress=on_progress,
        )
        assert found is not None, "only a process of a launch has nothing to report"
        write_files(stage.out, margin=margin, reference=reference, device=device, tell=lambda _: None)
        records = found.records
    return records


def redraw(
    folder: Path | str, *, margin: float | None = None, reference: str = BASELINE, device: str = "auto"
) -> list[CompareRecord]:
    """The comparison in a study's folder, with nothing trained; its tables and its report are written anew.

    Args:
        folder: the study's, with one finished run at least.
        margin, reference: as for `compare`.
        device: for what the report has to measure; nothing is measured twice.

    Returns:
        One record a variant and grid point.

    Raises:
        InputError, MachineError: see `minform_cli.errors`.
    """
    from minform_cli.comparison import stored_comparison, write_files

    check_device(device)
    comparison, _ = stored_comparison(Path(folder), margin, reference)
    write_files(Path(folder), margin=margin, reference=reference, device=device, tell=lambda _: None)
    return comparison.records
