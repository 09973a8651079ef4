"""What is reduced: a finished run of ours, or another library's model, which becomes one first."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from minform_cli.errors import InputError
from minform_cli.foreign.adapters.given import RUN, Options, split
from minform_cli.foreign.importing import import_source
from minform_cli.runs.stored import StoredRun, finished_run

_KIND = re.compile(r"[A-Za-z][A-Za-z-]+:")
"""Opens a source; one letter is a drive."""

IMPORTED = "original"
"""Folder that an imported model is put in."""


@contextmanager
def opened(source: str, weights: Path | None, inside: Path | None = None) -> Generator[StoredRun]:
    """The finished run that `source` is.

    Args:
        source: folder of a run, or ``hf:FOLDER``, ``timm:NAME``, ``torchvision:NAME``, ``run:FOLDER``.
        weights: file of weights, for a source that needs one.
        inside: where an imported model was kept before, or None: it is imported into a folder that goes at the end.

    Raises:
        InputError: there is none, it is not finished or damaged; or as of `foreign.importing.import_source`.
    """
    if not is_imported(source):
        if weights is not None:
            raise InputError("--weights: a run has its own; accepted: it is for timm:NAME and torchvision:NAME")
        yield finished(Path(source.removeprefix(f"{RUN}:")))
        return
    if inside is not None and (inside / IMPORTED).is_dir():
        yield finished(inside / IMPORTED)
        return
    with tempfile.TemporaryDirectory(prefix="minform-") as place:
        folder = Path(place) / IMPORTED
        import_source(source, folder, Options(weights))
        yield finished(folder)


def is_imported(source: str) -> bool:
    """Whether `source` is another library's model.

    Raises:
        InputError: it opens as one, and there is no such kind.
    """
    if _KIND.match(source) is None or Path(source).is_dir():
        return False
    return split(source)[0] != RUN


def finished(folder: Path) -> StoredRun:
    """The finished run in `folder`; errors as of `finished_run`."""
    return finished_run(folder, "reduce")
