"""Where each tracker keeps runs during a test: all in the test's own folder, nothing sent anywhere."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minform_cli.tracking import TRACKERS
from tests.tracking.readers import READERS, Read

Reader = Callable[[], dict[str, Read]]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A store of mlflow without runs, made once, as that takes seconds; None without mlflow."""
    if importlib.util.find_spec("mlflow") is None:
        return None
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow: Any = importlib.import_module("mlflow")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path | None) -> Iterator[Path]:
    """The working directory, in which all trackers write."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no account of the user's
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_DIR", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    if empty_store is not None:
        shutil.copy(empty_store, tmp_path / "mlflow.db")
    for name in [name for name in sys.modules if name.partition(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, name)  # it reads where its folder is as it is imported
    yield tmp_path
    end_wandb()


@pytest.fixture(params=TRACKERS.names())
def tracker(request: pytest.FixtureRequest) -> str:
    """The name of each tracker that is installed."""
    name: str = request.param
    pytest.importorskip(name, reason=f"{name} is not installed: pip install 'minform[{name}]'")
    return name


@pytest.fixture
def read(tracker: str, offline: Path) -> Reader:
    """What the tracker has, by the names of runs, once the command is over."""

    def look() -> dict[str, Read]:
        end_wandb()
        return READERS[tracker](offline)

    return look


def end_wandb() -> None:
    """What wandb does as a process ends: its files are whole then, and variables are read anew."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
