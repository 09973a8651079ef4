"""What lies in a folder: runs and studies found, interrupted ones removed."""

from __future__ import annotations

from pathlib import Path

from minform_cli.runs.records import ListedRecord


def list_runs(folder: Path | str = "runs") -> list[ListedRecord]:
    """The runs and studies in `folder` and below it: a record each, by path. Imports no torch.

    Links and hidden folders are passed over; a damaged run or study is listed as such, and a folder that cannot be
    looked into is passed over.

    Raises:
        InputError: `folder` is no folder that can be looked into.
    """
    from minform_cli.study.listing import list_folder

    return list_folder(Path(folder)).records


def remove_run(folder: Path | str) -> None:
    """Removes the folder of an interrupted run, all of it or nothing.

    Raises:
        InputError: it is no run's folder, its run is finished or another process trains it, or something lies in it
            that no training wrote.
        MachineError: it cannot be removed.
    """
    from minform_cli.runs.removal import remove_interrupted_run

    remove_interrupted_run(Path(folder))
