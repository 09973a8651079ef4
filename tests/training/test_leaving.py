"""A process that leaves a launch waits for the threads of its groups: one that outlives the interpreter aborts it."""

from pathlib import Path

import pytest

from tests.training.launching import free_port, scripts

TASKS = Path("/proc/self/task")

# Process 0 stays in `joined` to its end or until the other, which ends at once, is missed.
SCRIPT = """
import os, sys
from pathlib import Path
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.launch import Launch
from minform_cli.training.parallel import joined

rank, port, alone = int(os.environ["RANK"]), int(os.environ["MASTER_PORT"]), int(sys.argv[1])

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


def left(alone: bool, folder: Path) -> list[str]:
    """What process 0 of two printed."""
    (folder / "script.py").write_text(SCRIPT)
    launched = scripts(folder / "process", 2, free_port(), str(folder / "script.py"), str(int(alone)))
    assert launched.codes() == [0, 0], launched.printed()
    return launched.printed("stdout")[0].splitlines()


@pytest.mark.skipif(not TASKS.exists(), reason="threads are read from /proc")
def test_no_thread_of_the_groups_is_left(tmp_path: Path) -> None:
    assert left(False, tmp_path) == ["has threads True", "[]"]


@pytest.mark.skipif(not TASKS.exists(), reason="threads are read from /proc")
def test_no_thread_of_the_groups_is_left_once_another_process_is_lost(tmp_path: Path) -> None:
    assert left(True, tmp_path) == ["MachineError still held: True", "[]"]
