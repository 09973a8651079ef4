"""Several processes of one launch, each of which runs the command line. Torch is imported once, in a fork server."""

from __future__ import annotations

import os
import runpy
import socket
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from minform_cli.cli import main
from tests.training.killing import CONTEXT
from tests.waiting import HANGS_S, hold


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def launch_variables(rank: int, size: int, port: int) -> dict[str, str]:
    """The environment of process `rank`: ours, and what torchrun puts there."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    return {**os.environ, "MASTER_ADDR": "127.0.0.1", **{name: str(number) for name, number in numbers.items()}}


def _command(arguments: Sequence[str], variables: dict[str, str], output: str, held_at: int | None) -> None:
    _prepare(["minform", *arguments], variables, output)
    if held_at is not None:
        hold(held_at)
    main()


def _script(arguments: Sequence[str], variables: dict[str, str], output: str) -> None:
    _prepare(arguments, variables, output)
    runpy.run_path(arguments[0], run_name="__main__")


def _prepare(arguments: Sequence[str], variables: dict[str, str], output: str) -> None:
    os.environ.clear()  # the fork server's own is that of whichever test started it
    os.environ.update(variables)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    torch.set_num_threads(1)
    sys.argv = list(arguments)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)


@dataclass
class Launched:
    """The processes of a launch, and what they have printed once they are done."""

    processes: list[ForkServerProcess]
    output: Path

    def codes(self) -> list[int | None]:
        """Waits for all; their exit codes."""
        for process in self.processes:
            process.join(HANGS_S)
        codes = [process.exitcode for process in self.processes]
        for process in self.processes:
            process.kill()
        return codes

    def printed(self, name: str = "stderr") -> list[str]:
        """What each has printed so far."""
        paths = [Path(f"{self.output}{rank}.{name}") for rank in range(len(self.processes))]
        return [path.read_text() if path.exists() else "" for path in paths]


def launch(output: Path, *commands: Sequence[str], held: Collection[int] = (), held_at: int = 5) -> Launched:
    """Starts one process for each of `commands`, their arguments; prints go to files that begin with `output`.

    Those of the ranks `held` take `held_at` steps, and no more until a signal asks them to stop.
    """
    port, processes = free_port(), []
    for rank, arguments in enumerate(commands):
        variables = launch_variables(rank, len(commands), port)
        step = held_at if rank in held else None
        processes.append(
            CONTEXT.Process(target=_command, args=(arguments, variables, f"{output}{rank}", step), daemon=True)
        )
        processes[-1].start()
    return Launched(processes, output)


def scripts(output: Path, size: int, port: int, *arguments: str) -> Launched:
    """Starts a script, the first of `arguments`, in each of `size` processes of a launch whose store is at `port`."""
    processes = []
    for rank in range(size):
        given = (arguments, launch_variables(rank, size, port), f"{output}{rank}")
        processes.append(CONTEXT.Process(target=_script, args=given, daemon=True))
        processes[-1].start()
    return Launched(processes, output)


def alone(output: Path, arguments: Sequence[str], held_at: int | None = None) -> Launched:
    """Starts the command line in a process that belongs to no launch."""
    process = CONTEXT.Process(target=_command, args=(arguments, dict(os.environ), f"{output}0", held_at), daemon=True)
    process.start()
    return Launched([process], output)
