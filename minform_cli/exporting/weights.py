"""Format `safetensors`: our tensors under our names, each once, and ``config.json`` with all that rebuilds the model.

``minform_cli.load(FOLDER)`` gives the model back; any reader of safetensors gives the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec, spec_of
from minform_cli.errors import InputError, unread
from minform_cli.exporting.files import CONFIG, MODEL
from minform_cli.exporting.graph import graph_of
from minform_cli.exporting.loading import code
from minform_cli.exporting.source import Batch, Exported, Written
from minform_cli.files import read_json, write_atomic
from minform_cli.models.build import build_model
from minform_cli.runs.tensors import Tensors, put_weights, weights_of

HAS_GRAPH = False

_OURS = {
    "images": 'batch["pixel_values"]',
    "text": 'batch["input_ids"], batch.get("token_type_ids"), batch["attention_mask"].bool()',
    "pairs": 'batch["input_ids"], batch["decoder_input_ids"], batch["attention_mask"].bool()',
}
"""What our models take of a batch, by kind of the examples."""


def write(model: Exported, folder: Path) -> Written:
    """Writes the tensors; the files that say what they are stand beside them in every format."""
    tensors = {name: tensor.contiguous() for name, tensor in weights_of(model.model).items()}
    write_atomic(folder / MODEL, safetensors.torch.save(tensors, {"format": "pt"}))

    def run(batch: Batch) -> Tensor:
        return graph_of(load(folder), model.config, None)(**batch)

    call = f"with torch.no_grad():\n    outputs = model({_OURS[model.spec.kind]})"
    lines = code(model, "torch", ["import minform_cli"], 'model = minform_cli.load(".")', call)
    return Written(file=MODEL, numbers=model.numbers, loader="minform_cli.load", run=run, load=lines)


def load(folder: Path) -> nn.Module:
    """The model in an exported folder of format `safetensors`: float32, on the CPU, in evaluation mode.

    Raises:
        InputError: there is none, or it is damaged.
    """
    described = read_json(folder / CONFIG, "description of the model")
    config, spec = rebuilt(described, str(folder / CONFIG))
    model = build_model(config, spec)
    put_weights(model, _read(folder / MODEL, weights_of(model)))
    return model.eval()


def rebuilt(described: Mapping[str, Any], where: str) -> tuple[RunConfig, DataSpec]:
    """The config and the spec in what ``config.json`` says; `where` opens the message of an error.

    Raises:
        InputError: they are not there, or not of this version.
    """
    try:
        return RunConfig.model_validate(described["config"]), spec_of(described["spec"])
    except KeyError as error:
        raise InputError(f"{where}: {error.args[0]!r} is missing: not what minform export wrote") from None
    except (ValidationError, TypeError) as error:
        raise InputError(f"{where}: {' '.join(str(error).split())[:200]}") from None


def _read(path: Path, expected: Mapping[str, Tensor]) -> Tensors:
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise unread(error, f"{path} cannot be read: {error}") from None
    for name in sorted(expected.keys() | tensors.keys()):
        here, wanted = (each.get(name, torch.empty(0)) for each in (tensors, expected))
        if here.shape != wanted.shape or here.dtype != wanted.dtype:
            raise InputError(f"{path} does not fit its {CONFIG}: {name} is of another shape, or not in both")
    return tensors
