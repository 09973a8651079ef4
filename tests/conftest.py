"""What all tests share: real data only where it is, one thread, caches that no test leaves behind."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from minform_cli.cli import main
from tests.cli.commands import Command, Outcome

torch.set_num_threads(1)
# A slow machine is no failure.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
# A suite that a shell started in the background inherits that Ctrl-C is ignored, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    data = os.environ.get("MINFORM_DATA")
    no_data = pytest.mark.skip(reason="MINFORM_DATA names no folder with the real data sets")
    no_gpu = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if item.get_closest_marker("real_data") and not (data and Path(data, "mnist").is_dir()):
            item.add_marker(no_data)
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(no_gpu)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded caches of the whole session go to one temporary folder, never to the user's."""
    os.environ.setdefault("MINFORM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def minform(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process: ``minform("count", "--quiet")``."""

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["minform", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return Outcome(exit_.value.code, captured.out, captured.err)

    return run
