"""Optuna's file of trials: written under our lock alone, and whole again after a process ended as it wrote a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from optuna.storages import JournalStorage


class _Held:
    """In place of Optuna's own lock, a link beside the file: a process that is killed leaves it for others to wait for.

    Whoever writes has the search's lock, which ends with its process.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def opened(path: Path) -> JournalStorage:
    """The trials in the file at `path`, which is made if need be; for whoever is alone with it."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path), cast("Any", _Held())))


def cut_torn_end(path: Path) -> None:
    """Takes away a last line that has no end: a full disk or a kill came in between; for whoever is alone with it.

    Optuna would read the next line as the rest of it, and no more of the file.
    """
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("r+b") as file:
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
