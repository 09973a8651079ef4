"""A run trained as far as it is worth it, and no further than to before its test set is read: a trial of a search."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from minform_cli.errors import InputError
from minform_cli.runs.progress import Listener, Progress, silent
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.parallel import joined
from minform_cli.training.prepare import Prepared
from minform_cli.training.run import Begun, Means, begin


def train_in_part(
    run: Prepared,
    out: Path,
    goes_on: Callable[[int], bool],
    *,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    on_progress: Listener | None = None,
) -> Progress:
    """Trains a run to where it is not worth going on, or to its last epoch, and leaves it saved there.

    The test set is not read, and there is no ``result.json``: `train` with `resume` would bring both.

    Args:
        run, out, resume, device, threads, on_progress: as for `train`.
        goes_on: from how many epochs are done to whether another one is to be; asked between two of them.

    Returns:
        The last news of it, with the metrics of its last validation.

    Raises:
        As `train`; `InputError`, too, if the run in `out` is finished.
    """
    tell = on_progress or silent
    with StopRequest() as stop, joined(None, stop) as team, ExitStack() as held:
        begun = begin(run, out, Means(team, stop, held, device, threads), resume=resume, tell=tell)
        if not isinstance(begun, Begun):
            raise InputError(f"{out} is a finished run, whose test set was read; --out names another folder")
        begun.loop.goes_on = goes_on
        begun.loop.run()
    return begun.last_news()
