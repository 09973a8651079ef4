"""What goes with models of text: a tokenizer for transformers, and vectors as sentence-transformers pools them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import minform_cli
from tests.exporting.fresh import shapes
from tests.exporting.made import BERT, GPT2, TEXTS, WORDS, stored, tokenizer

VECTORS: dict[str, dict[str, Any]] = {
    "mean": BERT | {"readout": "mean"},
    "first": BERT | {"readout": "class-token"},
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with a tokenizer, exported for transformers, and their own models beside them."""
    root = tmp_path_factory.mktemp("text")
    cases = {name: ("embed-sentences", model) for name, model in VECTORS.items()}
    for name, (task, model) in {**cases, "next": ("next-tokens", GPT2), "masked": ("masked-tokens", BERT)}.items():
        stored(root / f"run-{name}", task, model, WORDS, tokenizer().json)
        minform_cli.export(root / f"run-{name}", "hf", root / name)
        minform_cli.export(root / f"run-{name}", "safetensors", root / f"own-{name}")
    return root


@pytest.mark.parametrize("name", ["next", "masked"])
def test_the_tokenizer_cuts_text_as_the_run_did_and_fills_up(name: str, folders: Path) -> None:
    own = tokenizer()
    found = transformers.AutoTokenizer.from_pretrained(folders / name)
    batch = found(list(TEXTS), padding=True)
    special = own.special
    expected = [[special.cls, *ids, special.sep] for ids in own.encode(list(TEXTS))]
    rows = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    assert [ids[: sum(mask)] for ids, mask in rows] == expected
    assert (found.pad_token_id, found.mask_token_id, found.model_max_length) == (special.pad, special.mask, 12)
    types = [] if name == "next" else ["token_type_ids"]
    assert sorted(batch) == sorted(["input_ids", "attention_mask", *types])


def test_the_cards_python_makes_the_vector_of_a_sentence(folders: Path) -> None:
    assert shapes(folders, *VECTORS, "masked", blocked=("minform_cli",)) == {
        "mean": [1, 12],
        "first": [1, 12],
        "masked": [1, 12, 40],
    }


@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is None, reason="no sentence-transformers")
@pytest.mark.parametrize("name", VECTORS)
def test_sentence_transformers_pools_as_the_run_does(name: str, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    texts = ["a small text", "it reads"]
    found = torch.tensor(SentenceTransformer(str(folders / name), device="cpu").encode(texts))
    batch = transformers.AutoTokenizer.from_pretrained(folders / name)(texts, padding=True, return_tensors="pt")
    own = minform_cli.load(folders / f"own-{name}")
    with torch.no_grad():
        expected = own(batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
