"""The whole diagnosis."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from minform_cli.diagnosis import disk, hardware, software
from minform_cli.diagnosis.findings import checked
from minform_cli.diagnosis.records import FindingRecord
from minform_cli.errors import InputError
from minform_cli.files import check_folder


def diagnose(folder: Path, *, clean: bool = False) -> list[FindingRecord]:
    """What is found on this machine, section by section; what cannot be found out is a finding, too.

    Args:
        folder: that runs are to be written to.
        clean: whether what the caches hold and can be made again is removed.

    Raises:
        InputError: `folder` is no folder.
    """
    try:
        check_folder(folder)
    except InputError:
        raise
    except Exception:  # noqa: S110  (what the check of the folder is to tell)
        pass
    return [
        *checked("versions", "versions", software.versions, "fatal"),
        *checked("devices", "devices", hardware.devices),
        *checked("cores", "cores", hardware.cores),
        *checked("memory", "memory", hardware.memory, "note"),
        *checked("matrix product", "product", hardware.matmul, "fatal"),
        *checked("compiler", "C++", software.compiler, "note"),
        *checked("folder", "write and lock", partial(disk.folder, folder), "fatal"),
        *checked("cache", "cache", partial(disk.cache, clean=clean)),
        *checked("data", "data", disk.data),
        *checked("extras", "extras", software.extras),
    ]
