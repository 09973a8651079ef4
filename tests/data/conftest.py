"""Every test here has a cache of its own, no network, and no data but what it makes or asks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from minform_cli.errors import MinformError
from tests.data.pictures import CLASSES, make_folder

REAL_DATA = os.environ.get("MINFORM_DATA")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MINFORM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MINFORM_OFFLINE", "1")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("MINFORM_DATA", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path / "cache"
    torch.set_num_threads(threads)


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    if not REAL_DATA:
        pytest.skip("MINFORM_DATA is not set")
    monkeypatch.setenv("MINFORM_DATA", REAL_DATA)
    return Path(REAL_DATA)


@pytest.fixture
def refused() -> Callable[..., str]:
    """Calls something that must raise one of our errors, and returns its message, which must be one printable line."""

    def check(error: type[MinformError], call: Callable[..., object], *args: object, **kwargs: object) -> str:
        with pytest.raises(error) as caught:
            call(*args, **kwargs)
        message = str(caught.value)
        assert message.isprintable(), repr(message)
        return message

    return check


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "my images", {"train": CLASSES, "val": {"cat": 3, "ant": 2}, "test": {"ant": 4}})
