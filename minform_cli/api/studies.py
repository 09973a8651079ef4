"""Studies: training variants over seeds, comparing them, and drawing a study again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.api.checks import check_device, check_made
from minform_cli.config.names import BASELINE
from minform_cli.report.records import CompareRecord, PowerRecord, TableRecord
from minform_cli.study.options import PowerOptions, StudyOptions, TableOptions

if TYPE_CHECKING:
    from minform_cli.study.worker import StudyListener


def compare(options: StudyOptions, *, on_progress: StudyListener | None = None) -> list[CompareRecord]:
    """Trains variants over seeds and compares them. Finished runs in the folder are reused, begun ones go on.

    Args:
        options: what to compare, how, and what to refer to.
        on_progress: is told how each run goes.

    Returns:
        One record a variant and grid point. The study's folder ends with its tables and ``report.html``, which has
        pictures where matplotlib is installed.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`.
    """
    check_made(options, StudyOptions, "compare", "StudyOptions")
    from minform_cli.study.comparison import plan_comparison, run_comparison, write_files

    check_device(options.device, options.threads)
    records: list[CompareRecord] = []
    for stage in plan_comparison(options).stages():
        found = run_comparison(stage, options, on_progress=on_progress)
        write_files(stage.out, options, tell=lambda _: None, source=stage.source)
        records = found.records
    return records


def redraw(
    folder: Path | str, *, margin: float | None = None, reference: str = BASELINE, device: str = "auto"
) -> list[CompareRecord]:
    """The comparison in a study's folder, with nothing trained; its tables and its report are written anew.

    Args:
        folder: the study's, with one finished run at least.
        margin, reference: as in `StudyOptions`.
        device: for what the report has to measure; nothing is measured twice.

    Returns:
        One record a variant and grid point.

    Raises:
        InputError, MachineError: see `minform_cli.errors`.
    """
    from minform_cli.study.comparison import stored_comparison, write_files

    check_device(device)
    options = StudyOptions(margin=margin, reference=reference, device=device)
    comparison, _ = stored_comparison(Path(folder), options)
    write_files(Path(folder), options, tell=lambda _: None)
    return comparison.records


def compare_table(options: TableOptions) -> list[TableRecord]:
    """Compares runs of other tools; nothing is trained, and torch is not imported.

    Args:
        options: where the runs are, which column is what, and how they are judged.

    Returns:
        One record a variant. Where `out` names a folder, it ends with the tables and ``report.html``.

    Raises:
        InputError, MachineError: see `minform_cli.errors`.
    """
    check_made(options, TableOptions, "compare_table", "TableOptions")
    from minform_cli.study.table_comparison import compare_runs, write_table_files

    found = compare_runs(options)
    write_table_files(found, options, lambda _: None)
    return found.records


def power(options: PowerOptions) -> list[PowerRecord]:
    """How many seeds decide whether two variants differ, or that one is not worse.

    Args:
        options: what is to be found, and how much seeds differ.

    Returns:
        One record a number of seeds, by number; the first that is `enough` is the answer.

    Raises:
        InputError: see `minform_cli.errors`.
    """
    check_made(options, PowerOptions, "power", "PowerOptions")
    from minform_cli.study.power import find_power

    return find_power(options).records
