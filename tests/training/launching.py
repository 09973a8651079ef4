"""Several processes of one launch, each of which runs the command line. Torch is imported once, in a fork server."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from minform_cli.cli import main
from tests.training.killing import CONTEXT


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def launch_variables(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun puts into the environment of process `rank`."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(number) for name, number in numbers.items()}}


def _command(arguments: Sequence[str], variables: dict[str, str], output: str) -> None:
    os.environ.update(variables)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    torch.set_num_threads(1)
    sys.argv = ["minform", *arguments]
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    main()


@dataclass
class Launched:
    """The processes of a launch, and what they have printed once they are done."""

    processes: list[ForkServerProcess]
    output: Path

    def codes(self) -> list[int | None]:
        """Waits for all, a minute at most; their exit codes."""
        for process in self.processes:
            process.join(60)
        codes = [process.exitcode for process in self.processes]
        for process in self.processes:
            process.kill()
        return codes

    def printed(self, name: str = "stderr") -> list[str]:
        """What each has printed."""
        return [Path(f"{self.output}{rank}.{name}").read_text() for rank in range(len(self.processes))]


def launch(output: Path, *commands: Sequence[str]) -> Launched:
    """Starts one process for each of `commands`, their arguments; prints go to files that begin with `output`."""
    port, processes = free_port(), []
    for rank, arguments in enumerate(commands):
        variables = launch_variables(rank, len(commands), port)
        processes.append(CONTEXT.Process(target=_command, args=(arguments, variables, f"{output}{rank}")))
        processes[-1].start()
    return Launched(processes, output)
