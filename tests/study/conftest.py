"""What tests of studies by several processes share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from torch.distributed import TCPStore

from minform_cli.study.queue import Pace
from tests.waiting import HANGS_S

QUICK = Pace(beat_s=0.01, dead_after_s=0.6, poll_s=0.02)
"""For a clock that the test moves on itself: on a real one, a slow machine would be taken for a dead process."""

PATIENT = Pace(beat_s=0.05, dead_after_s=HANGS_S, poll_s=0.02)
"""Nobody is taken for dead."""

VARIANTS = ["no-mlp", "minimal"]


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[TCPStore]]:
    """A store kept by somebody else, as by torchrun's agent."""
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    yield [TCPStore("localhost", 0, is_master=True, wait_for_workers=False)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
