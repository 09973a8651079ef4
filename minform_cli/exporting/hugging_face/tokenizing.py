"""How transformers is told of a tokenizer: which entries are special, how long an example may be."""

from __future__ import annotations

import json
from typing import Any

from minform_cli.data.text.tokenizer import NAMES
from minform_cli.exporting.source import Exported

_ROLES = {"pad": "pad_token", "cls": "cls_token", "sep": "sep_token", "mask": "mask_token"}
_UNKNOWN = ("[UNK]", "<unk>", "<|unk|>", "<UNK>")


def tokenizer_config(model: Exported) -> dict[str, Any]:
    """Content of ``tokenizer_config.json``."""
    assert model.tokenizer is not None
    entries = _entries(json.loads(model.tokenizer))
    found = {key: next((name for name in NAMES[role] if name in entries), None) for role, key in _ROLES.items()}  # type: ignore[index]
    found["unk_token"] = next((name for name in _UNKNOWN if name in entries), None)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.longest,
        "padding_side": "right",
        "model_input_names": [name for name in model.graph.inputs if name != "decoder_input_ids"],
        **{key: name for key, name in found.items() if name is not None},
    }


def _entries(tokenizer: dict[str, Any]) -> set[str]:
    """Every entry of the vocabulary, however the kind of tokenizer keeps it."""
    vocabulary: Any = tokenizer.get("model", {}).get("vocab", {})
    names = vocabulary if isinstance(vocabulary, dict) else [entry[0] for entry in vocabulary]
    return {*names, *(token["content"] for token in tokenizer.get("added_tokens", []))}
