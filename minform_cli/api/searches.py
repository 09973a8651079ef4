"""Searching for good variants and sizes under a budget of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minform_cli.api.checks import check_device, check_made
from minform_cli.report.records import SearchRecord
from minform_cli.searching.options import SearchOptions

if TYPE_CHECKING:
    from minform_cli.study.worker import StudyListener


def search(options: SearchOptions, *, on_progress: StudyListener | None = None) -> SearchRecord:
    """Trains models under a budget of parameters until as many as asked for are done; a begun search goes on.

    Args:
        options: what to choose among, the budget, and where.
        on_progress: is told how each trial goes.

    Returns:
        All trials in the folder, their front, and the best of them, whose variant the folder ends with, beside tables
        and ``report.html``. The test set is not read.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: see `minform_cli.errors`.
    """
    check_made(options, SearchOptions, "search", "SearchOptions")
    from minform_cli.searching.files import write_files
    from minform_cli.searching.run import plan_search, run_search

    check_device(options.device, options.threads)
    planned = plan_search(options)
    record = run_search(planned, on_progress=on_progress)
    write_files(planned.out, record, tell=lambda _: None)
    return record
