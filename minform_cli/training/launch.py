"""How this process was started: alone, or as one of several by torchrun or another launcher.

Imports no torch, so that the command line can ask.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from minform_cli.errors import InputError

_WHOLE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """This process among those of a launch, as ``torchrun`` describes it in the environment.

    Attributes:
        rank: number of this process, from 0.
        world_size: how many processes there are, on all machines.
        local_rank: number of this process on its machine, from 0; its GPU's number, too.
        address, port: where the launch's store is, or where rank 0 is to open it.
    """

    rank: int
    world_size: int
    local_rank: int
    address: str
    port: int


def launched(environ: Mapping[str, str] | None = None) -> Launch | None:
    """How `torchrun` (or what sets the same variables) started this process; None if nothing did.

    Args:
        environ: read instead of the process's environment.

    Raises:
        InputError: the variables are incomplete or no numbers.
    """
    environ = os.environ if environ is None else environ
    if "RANK" not in environ or "WORLD_SIZE" not in environ:
        return None
    values = {name: environ.get(name, "") for name in _WHOLE}
    for name, value in values.items():
        if not value.isdecimal():
            raise InputError(f"environment variable {name}: {value!r} is not a whole number; start with torchrun")
    rank, world_size, local_rank, port = (int(values[name]) for name in _WHOLE)
    if rank >= world_size:
        raise InputError(f"environment variable RANK: {rank} is not below WORLD_SIZE, {world_size}")
    return Launch(rank, world_size, local_rank, environ.get("MASTER_ADDR", "localhost"), port)
