"""What stands beside the numbers in every exported folder, and what the files are called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minform_cli import __version__
from minform_cli.data.spec import spec_record
from minform_cli.exporting.source import Exported
from minform_cli.files import write_atomic, write_json

CONFIG = "config.json"
MODEL = "model.safetensors"
CLASSES = "classes.json"
TOKENIZER = "tokenizer.json"
CARD = "README.md"


def described(model: Exported) -> dict[str, Any]:
    """All that rebuilds the model, and where it comes from, in plain JSON."""
    normalisation = model.normalisation
    return {
        "minform": __version__,
        "config": model.config.model_dump(mode="json"),
        "spec": spec_record(model.spec),
        "normalisation": None if normalisation is None else normalisation._asdict(),
        "fingerprint": model.run.fingerprint,
        "inputs": list(model.graph.inputs),
        "output": model.graph.output,
        "normalises": model.inside,
    }


def write_beside(model: Exported, folder: Path, description: Mapping[str, Any] | None) -> None:
    """Writes tokenizer and class names; and ``config.json``, unless the format has one of its own."""
    if description is not None:
        write_json(folder / CONFIG, description)
    if model.spec.class_names:
        write_atomic(folder / CLASSES, (json.dumps(list(model.spec.class_names), ensure_ascii=False) + "\n").encode())
    if model.tokenizer is not None:
        write_atomic(folder / TOKENIZER, model.tokenizer.encode())
