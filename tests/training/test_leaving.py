"""A process that leaves a launch waits for the threads of its groups: one that outlives the interpreter aborts it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.launching import free_port
from tests.waiting import HANGS_S

TASKS = Path("/proc/self/task")

# Process 0 stays in `joined` to its end or until the other, which ends at once, is missed.
SCRIPT = """
import os, sys
from pathlib import Path
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.launch import Launch
from minform_cli.training.parallel import joined

rank, port, alone = (int(word) for word in sys.argv[1:])

def train():
    import torch
    with StopRequest() as stop, joined(Launch(rank, 2, rank, "127.0.0.1", port), stop) as team:
        forward = team.wrap(torch.nn.Linear(3, 3))
        forward(torch.ones(2, 3)).sum().backward()
        if rank and alone:
            os._exit(0)
        team.total([1.0])
        print("has threads", bool(gloo()))
        forward.itself = forward  # as long as nobody collects it
        team.total([1.0])

def gloo():
    found = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in found if "gloo" in name]

try:
    train()
except Exception as error:
    print(type(error).__name__, "still held:", error.__traceback__ is not None)
    print(gloo())
else:
    print(gloo())
"""


def left(alone: bool) -> list[str]:
    """What process 0 of two printed."""
    port = str(free_port())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(rank), port, str(int(alone))], stdout=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    outputs = [process.communicate(timeout=HANGS_S)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return outputs[0].splitlines()


@pytest.mark.skipif(not TASKS.exists(), reason="threads are read from /proc")
def test_no_thread_of_the_groups_is_left() -> None:
    assert left(alone=False) == ["has threads True", "[]"]


@pytest.mark.skipif(not TASKS.exists(), reason="threads are read from /proc")
def test_no_thread_of_the_groups_is_left_once_another_process_is_lost() -> None:
    assert left(alone=True) == ["MachineError still held: True", "[]"]
