"""Run folders of format 2, beside their data, where a test may change them."""

import shutil
from pathlib import Path

import pytest
import torch

FORMAT2 = Path(__file__).parent / "format2"


@pytest.fixture
def format2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the paths in the runs are relative to, as the working directory."""
    torch.set_num_threads(1)
    folder = Path(shutil.copytree(FORMAT2, tmp_path / "format2"))
    monkeypatch.chdir(folder)
    return folder
