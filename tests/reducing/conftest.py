"""Small runs to make smaller, made once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minform_cli.config.presets import resolve
from minform_cli.training.run import train
from tests.data.text.prose import WORDS
from tests.runs.test_made import ONCE, SMALL, sentence_run


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 60 digits, two blocks."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    train(resolve("digits", settings=[*SMALL, "model.depth=2", *ONCE]).config, folder, device="cpu", threads=1)
    return folder


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imported run that gives a vector for every sentence."""
    return sentence_run(tmp_path_factory.mktemp("sentences") / "run", "embed-sentences", "").folder.path


@pytest.fixture(scope="session")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 60 lines, some blank, some twice."""
    chance = np.random.RandomState(0)
    lines = [" ".join(chance.choice(WORDS, size=3 + number % 7)) for number in range(50)]
    path = tmp_path_factory.mktemp("prose") / "prose.txt"
    path.write_text("\n".join([*lines, "", "  ", *lines[:8]]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve grey images of 8 x 8 in two folders."""
    chance = np.random.RandomState(0)
    folder = tmp_path_factory.mktemp("pictures") / "photos"
    for number in range(12):
        place = folder / f"part{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = chance.randint(0, 256, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    return folder
