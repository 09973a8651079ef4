"""Folders as transformers writes them: small models with random weights, and tokenizers of few entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film", "##s", "is", "it")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
VOCAB = 40
"""Word vectors: more than the tokenizers have entries."""

BERT = {
    "vocab_size": VOCAB, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
    "max_position_embeddings": 18, "type_vocab_size": 2,
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "Bert": BERT,
    "Roberta": {**BERT, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    "DistilBert": {
        "vocab_size": VOCAB, "dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 20, "max_position_embeddings": 18,
    },
}  # fmt: skip
"""Settings by family."""


def made(folder: Path, architecture: str, seed: int = 0, **settings: Any) -> nn.Module:
    """The library's model of this class with random weights, saved in `folder` with a tokenizer."""
    family = architecture.partition("For")[0].removesuffix("Model")
    config = getattr(transformers, f"{family}Config")(**(SMALL[family] | settings))
    torch.manual_seed(seed)
    model = getattr(transformers, architecture)(config).eval()
    with torch.no_grad():  # norms and biases that are ones and zeros would hide a mistake
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    (byte_bpe() if family == "Roberta" else wordpiece()).save(str(folder / "tokenizer.json"))
    return model


def wordpiece() -> Tokenizer:
    """Of `WORDS`, with BERT's special entries around; it cuts and fills up unless told otherwise."""
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(WORDS[:5]))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=16)
    return tokenizer


def byte_bpe() -> Tokenizer:
    """Of single letters, with RoBERTa's special entries."""
    letters = ("a", "b", "d", "f", "g", "i", "l", "m", "o", "s", "t", "\u0120")
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate((*ROBERTA, *letters))}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(list(ROBERTA))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def changed(folder: Path, **settings: Any) -> Path:
    """The folder with other settings in its ``config.json``; None takes one out."""
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8")) | settings
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}), encoding="utf-8")
    return folder
