"""An imported text model does what the library's own does, to the rounding of float64, and holds as many numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from minform_cli.foreign.adapters.base import ADAPTERS, Imported, adapt
from minform_cli.foreign.adapters.given import Options, read_source
from minform_cli.foreign.parity import compared, random_inputs
from minform_cli.models.build import build_model
from minform_cli.runs.tensors import put_weights
from tests.foreign.adapters.folders import made

EXACT = 1e-10
"""Of the largest output: the rounding of float64 through two blocks is below 1e-14."""

TEXTS = [name for name in ADAPTERS["hf"].names() if name.startswith(("Bert", "Roberta", "DistilBert"))]

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in TEXTS),
    ("BertModel", {"hidden_act": "relu", "layer_norm_eps": 1e-3}),
    ("RobertaForMaskedLM", {"layer_norm_eps": 1e-2}),
    ("RobertaForMaskedLM", {"hidden_act": "relu"}),
    ("BertForMaskedLM", {"layer_norm_eps": 1e-2, "tie_word_embeddings": False}),
    ("BertForSequenceClassification", {"num_labels": 1}),
    ("RobertaForSequenceClassification", {"num_labels": 3}),
    ("DistilBertForSequenceClassification", {"num_labels": 5}),
]


def imported(folder: Path, **options: Any) -> Imported:
    read = read_source(f"hf:{folder}", Options(**options))
    return adapt(read.kind, read.given)


def built(found: Imported) -> nn.Module:
    model = build_model(found.config, found.spec)
    put_weights(model, found.weights)
    return model.eval()


def check(found: Imported) -> None:
    assert found.original is not None
    batches = random_inputs(found.config, found.spec, found.tokenizer)
    parity = compared(built(found).double(), found.original().double(), batches)
    assert parity.difference <= EXACT
    assert parity.scale > 1e-3


@pytest.mark.parametrize(("architecture", "settings"), CASES, ids=str)
def test_it_does_what_the_librarys_own_model_does(tmp_path: Path, architecture: str, settings: dict[str, Any]) -> None:
    made(tmp_path, architecture, **settings)
    check(imported(tmp_path))


@pytest.mark.parametrize("pooling", ["mean", "pooler", "class-token"])
def test_every_pooling_reads_what_it_says(tmp_path: Path, pooling: str) -> None:
    made(tmp_path, "BertModel")
    found = imported(tmp_path, pooling=pooling)
    assert found.config.model.readout.kind == pooling
    check(found)


@pytest.mark.parametrize("architecture", TEXTS)
def test_numbers_of_the_file_are_those_of_the_model_and_those_left_over(tmp_path: Path, architecture: str) -> None:
    model = made(tmp_path, architecture)
    read = read_source(f"hf:{tmp_path}", Options())
    found = adapt(read.kind, read.given)
    numbers = read.given.tensors.numbers
    left = sum(numbers[name] for name in found.left_over)
    assert sum(numbers.values()) == sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in built(found).parameters()) + left == sum(numbers.values())
    if architecture == "BertForPreTraining":
        assert {name.rpartition(".")[0] for name in found.left_over} == {"bert.pooler.dense", "cls.seq_relationship"}
    elif architecture not in ("BertModel", "RobertaModel"):
        assert not found.left_over


@pytest.mark.parametrize("architecture", ["BertModel", "BertForMaskedLM", "DistilBertModel", "RobertaModel"])
def test_a_prefix_old_names_and_a_buffer_change_nothing(tmp_path: Path, architecture: str) -> None:
    made(tmp_path, architecture)
    expected = imported(tmp_path).weights
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    prefix = {"B": "bert.", "D": "distilbert.", "R": "roberta."}[architecture[0]]
    renamed = {name if name.startswith((prefix, "cls.")) else f"{prefix}{name}": each for name, each in tensors.items()}
    if architecture.startswith("Bert"):
        renamed = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): each
            for name, each in renamed.items()
        }
    buffer = f"{prefix}embeddings.position_ids"
    save_file({**renamed, buffer: torch.arange(18).unsqueeze(0)}, path)
    found = imported(tmp_path)
    assert found.left_over[buffer] == "whole numbers 0, 1, ..., no weights"
    assert all(torch.equal(found.weights[name], tensor) for name, tensor in expected.items())


def test_a_tied_matrix_that_stands_there_twice_counts_once(tmp_path: Path) -> None:
    made(tmp_path, "BertForMaskedLM")
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    words, bias = tensors["bert.embeddings.word_embeddings.weight"], tensors["cls.predictions.bias"]
    twice = {"cls.predictions.decoder.weight": words.clone(), "cls.predictions.decoder.bias": bias.clone()}
    save_file({**tensors, **twice}, path)
    found = imported(tmp_path)
    assert found.left_over == {
        "cls.predictions.decoder.bias": "the numbers of cls.predictions.bias once more",
        "cls.predictions.decoder.weight": "tied: the numbers of bert.embeddings.word_embeddings.weight",
    }
    assert "readout.head.output.weight" not in found.weights
    check(found)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_formats_become_float32_and_it_is_said(tmp_path: Path, dtype: torch.dtype) -> None:
    made(tmp_path, "BertModel")
    path = tmp_path / "model.safetensors"
    save_file({name: each.to(dtype) for name, each in load_file(path).items()}, path)
    found = imported(tmp_path)
    assert {tensor.dtype for tensor in found.weights.values()} == {torch.float32}
    assert f"{str(dtype).removeprefix('torch.')} in the file, float32 in the run" in found.notes
    check(found)


def test_weights_in_several_files_are_found_by_their_index(tmp_path: Path) -> None:
    model = made(tmp_path / "one", "BertModel")
    model.save_pretrained(tmp_path / "several", max_shard_size="3KB")  # type: ignore[operator]
    (tmp_path / "several" / "tokenizer.json").write_bytes((tmp_path / "one" / "tokenizer.json").read_bytes())
    assert len(list((tmp_path / "several").glob("*.safetensors"))) > 1
    expected, found = imported(tmp_path / "one"), imported(tmp_path / "several")
    assert all(torch.equal(found.weights[name], tensor) for name, tensor in expected.weights.items())
