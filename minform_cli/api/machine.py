"""What this machine is, and what of it is in the way."""

from __future__ import annotations

from pathlib import Path

from minform_cli.diagnosis.records import FindingRecord


def doctor(folder: Path | str = ".", *, clean: bool = False) -> list[FindingRecord]:
    """Looks at versions, devices, cores, memory, compiler, folder, caches, data and extras, and times a matrix product.

    Args:
        folder: that runs are to be written to; a file is written there and removed again.
        clean: whether decoded images and tokens are removed from the cache; downloads stay.

    Returns:
        A record a finding; one in state `fatal` means that nothing can be trained here.

    Raises:
        InputError: `folder` is no folder.
    """
    from minform_cli.diagnosis.run import diagnose

    return diagnose(Path(folder), clean=clean)
