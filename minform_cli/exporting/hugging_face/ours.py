"""The files of a folder whose model is ours: settings that find our classes, tensors under their names."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from minform_cli.data.spec import ImageSpec, spec_record
from minform_cli.exporting.hugging_face.text import labels
from minform_cli.exporting.source import Exported, special_entries
from minform_cli.runs.tensors import weights_of
from minform_cli.training.translation import LENGTH_PENALTY, TEST_BEAMS

MODELING = "modeling_minform.py"
MODULE = '''"""The model of this folder. Its parts are those of minform, which must be installed."""

from minform_cli.exporting.hugging_face.classes import {names}

__all__ = [{quoted}]
'''
"""Content of ``modeling_minform.py``."""


def module(architecture: str) -> str:
    """The folder's own code: what it takes from minform."""
    names = sorted(("MinformConfig", architecture))
    return MODULE.format(names=", ".join(names), quoted=", ".join(f'"{name}"' for name in names))


def settings(model: Exported, architecture: str, auto: str) -> dict[str, Any]:
    """Content of ``config.json``: which classes, and all that rebuilds the model."""
    sizes = model.config.model
    where = MODELING.removesuffix(".py")
    return {
        "model_type": "minform",
        "auto_map": {"AutoConfig": f"{where}.MinformConfig", auto: f"{where}.{architecture}"},
        "hidden_size": sizes.dim,
        "num_hidden_layers": sizes.depth,
        "num_attention_heads": sizes.heads,
        **({} if isinstance(model.spec, ImageSpec) else {"vocab_size": model.text.vocab_size, "use_cache": False}),
        **({"is_encoder_decoder": True, **_special(model)} if model.config.task == "translate" else {}),
        **(labels(model) if model.spec.class_names or model.config.task == "classify-sentences" else {}),
        "minform": {
            "config": model.config.model_dump(mode="json"),
            "spec": spec_record(model.spec),
            "normalisation": model.normalisation._asdict() if model.inside and model.normalisation else None,
        },
    }


def generation(model: Exported) -> dict[str, Any]:
    """Content of ``generation_config.json`` of a translator: what a translation of ours is written with."""
    special = None if model.tokenizer is None else special_entries(model.tokenizer, model.run)
    banned = [] if special is None else [each for each in special.numbers if each != special.sep]
    return {
        **_special(model),
        "num_beams": TEST_BEAMS,
        "length_penalty": LENGTH_PENALTY,
        "max_length": model.longest + 1,  # with its start
        "suppress_tokens": banned or None,
        "use_cache": False,
    }


def _special(model: Exported) -> dict[str, int]:
    """What begins a translation, ends it, and fills up behind it, where a tokenizer says it."""
    if model.tokenizer is None:
        return {}
    special = special_entries(model.tokenizer, model.run)
    found = {"decoder_start_token_id": special.cls, "eos_token_id": special.sep, "pad_token_id": special.pad}
    return {name: entry for name, entry in found.items() if entry is not None}


def tensors(model: Exported) -> dict[str, Tensor]:
    """The numbers, under the name that our classes keep the model under."""
    return {f"model.{name}": tensor for name, tensor in weights_of(model.model).items()}
