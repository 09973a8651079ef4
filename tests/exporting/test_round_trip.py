"""What is exported for transformers and imported again is the same run, number for number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import minform_cli
from minform_cli.data.spec import DataSpec
from minform_cli.foreign.adapters.base import adapt
from minform_cli.foreign.adapters.given import Options, read_source
from minform_cli.runs.stored import read_run
from tests.exporting.made import BERT, GPT2, IMAGES, SENTENCES, VIT, WORDS, stored, tokenizer

PLAIN: dict[str, Any] = {"embedding": {"kind": "tokens", "types": 0, "norm": True}}
RELU: dict[str, Any] = {"readout": {"kind": "pooler", "activation": "relu"}}
CASES: dict[str, tuple[str, dict[str, Any], DataSpec]] = {
    "bert-masked": ("masked-tokens", BERT, WORDS),
    "bert-classes": ("classify-sentences", BERT, SENTENCES),
    "bert-vectors": ("embed-sentences", BERT, WORDS),
    "distilbert-masked": ("masked-tokens", BERT | PLAIN, WORDS),
    "distilbert-classes": ("classify-sentences", BERT | PLAIN | RELU, SENTENCES),
    "gpt2": ("next-tokens", GPT2 | {"mlp": "gelu-tanh"}, WORDS),
    "vit": ("classify-images", VIT, IMAGES),
    "deit": ("classify-images", VIT | {"readout": {"kind": "class-token", "beside": 1}}, IMAGES),
    "deit-distilled": ("classify-images", VIT | {"readout": "distilled", "mlp": "gelu-tanh"}, IMAGES),
    "distilbert-mean": ("embed-sentences", BERT | PLAIN | {"readout": "mean"}, WORDS),
}


@pytest.mark.parametrize("name", CASES)
def test_export_and_import_give_the_same_numbers(name: str, tmp_path: Path) -> None:
    task, model, spec = CASES[name]
    stored(tmp_path / "run", task, model, spec, None if spec is IMAGES else tokenizer().json)
    minform_cli.export(tmp_path / "run", "hf", tmp_path / "hf")
    kind, given, _ = read_source(f"hf:{tmp_path / 'hf'}", Options())
    imported = adapt(kind, given)
    own = read_run(tmp_path / "run").weights()
    assert imported.config.task == task
    assert imported.spec.class_names == spec.class_names
    assert imported.weights.keys() == own.keys()
    for key, tensor in own.items():
        assert torch.equal(imported.weights[key], tensor), key
    assert imported.left_over == {}
    assert imported.normalisation == read_run(tmp_path / "run").normalisation
