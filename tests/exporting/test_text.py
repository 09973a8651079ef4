"""What goes with models of text: a tokenizer for transformers, and vectors as sentence-transformers pools them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import transformers

import minform_cli
from tests.exporting.made import TEXTS, tokenizer


@pytest.mark.parametrize("name", ["next-words", "masked-words"])
def test_the_tokenizer_cuts_text_as_the_run_did_and_fills_up(name: str, standard: Path) -> None:
    own = tokenizer()
    found = transformers.AutoTokenizer.from_pretrained(standard / name)
    batch = found(list(TEXTS), padding=True)
    special = own.special
    expected = [[special.cls, *ids, special.sep] for ids in own.encode(list(TEXTS))]
    rows = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    assert [ids[: sum(mask)] for ids, mask in rows] == expected
    assert (found.pad_token_id, found.mask_token_id, found.model_max_length) == (special.pad, special.mask, 12)
    types = [] if name == "next-words" else ["token_type_ids"]
    assert sorted(batch) == sorted(["input_ids", "attention_mask", *types])


@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is None, reason="no sentence-transformers")
@pytest.mark.parametrize("name", ["mean", "first"])
def test_sentence_transformers_pools_as_the_run_does(
    name: str, standard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    texts = ["a small text", "it reads"]
    found = torch.tensor(SentenceTransformer(str(standard / name), device="cpu").encode(texts))
    batch = transformers.AutoTokenizer.from_pretrained(standard / name)(texts, padding=True, return_tensors="pt")
    own = minform_cli.load(standard / f"own-{name}")
    with torch.no_grad():
        expected = own(batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
