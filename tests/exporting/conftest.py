"""Small runs to export, made once."""

from pathlib import Path

import pytest
import torch

import minform_cli
from minform_cli.training.run import train
from tests.exporting.made import BERT, GPT2, IMAGES, SENTENCES, VIT, WORDS, stored, tokenizer
from tests.training.conftest import tiny

RUNS = {
    "masked": ("masked-tokens", BERT, WORDS),
    "sentences": ("classify-sentences", BERT, SENTENCES),
    "next": ("next-tokens", GPT2, WORDS),
    "images": ("classify-images", VIT, IMAGES),
}
"""Name of a run that is a standard model -> task, model, data."""

WITH_WORDS = {
    "mean": ("embed-sentences", BERT | {"readout": "mean"}, WORDS),
    "first": ("embed-sentences", BERT | {"readout": "class-token"}, WORDS),
    "masked-words": ("masked-tokens", BERT, WORDS),
    "next-words": ("next-tokens", GPT2, WORDS),
}
"""Likewise of runs with a tokenizer."""


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
def standard(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, exported for transformers; and below ``own-NAME`` as safetensors."""
    root = tmp_path_factory.mktemp("hf")
    for name, (task, model, spec) in WITH_WORDS.items():
        stored(root / f"run-{name}", task, model, spec, tokenizer().json)
    for name, run in {**runs, **{name: root / f"run-{name}" for name in WITH_WORDS}}.items():
        minform_cli.export(run, "hf", root / name)
        minform_cli.export(run, "safetensors", root / f"own-{name}")
    return root


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on digits, with a result."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(tiny(variant="symmetric"), folder, threads=1)
    return folder
