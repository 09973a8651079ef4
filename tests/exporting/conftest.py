"""Small runs to export, made once."""

from pathlib import Path

import pytest
import torch

from minform_cli.training.run import train
from tests.exporting.made import BERT, GPT2, IMAGES, SENTENCES, VIT, WORDS, stored
from tests.training.conftest import tiny

RUNS = {
    "masked": ("masked-tokens", BERT, WORDS),
    "sentences": ("classify-sentences", BERT, SENTENCES),
    "next": ("next-tokens", GPT2, WORDS),
    "images": ("classify-images", VIT, IMAGES),
}
"""Name of a run that is a standard model -> task, model, data."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of `RUNS`; none of them is finished."""
    root = tmp_path_factory.mktemp("made")
    for name, (task, model, spec) in RUNS.items():
        stored(root / name, task, model, spec)
    return {name: root / name for name in RUNS}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on digits, with a result."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(tiny(variant="symmetric"), folder, threads=1)
    return folder
