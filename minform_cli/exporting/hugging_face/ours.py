"""The files of a folder whose model is ours: settings that find our classes, tensors under their names."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from minform_cli.data.spec import ImageSpec, spec_record
from minform_cli.exporting.hugging_face.text import labels
from minform_cli.exporting.source import Exported
from minform_cli.runs.tensors import weights_of

MODELING = "modeling_minform.py"
MODULE = '''"""The model of this folder. Its parts are those of minform, which must be installed."""

from minform_cli.exporting.hugging_face.wrapper import {names}

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
        **(labels(model) if model.spec.class_names or model.config.task == "classify-sentences" else {}),
        "minform": {
            "config": model.config.model_dump(mode="json"),
            "spec": spec_record(model.spec),
            "normalisation": model.normalisation._asdict() if model.inside and model.normalisation else None,
        },
    }


def tensors(model: Exported) -> dict[str, Tensor]:
    """The numbers, under the name that our classes keep the model under."""
    return {f"model.{name}": tensor for name, tensor in weights_of(model.model).items()}
