"""Starting from another run's weights: those of its body, while the task's own readout and head start anew."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.models.build import build_model
from minform_cli.results import RunFolder
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta, stored_config
from minform_cli.runs.tensors import Tensors, read_tensors, weights_of

READOUT = "readout."
"""Opens the names of the weights that belong to a task."""


def weights_digest(run: Path) -> str:
    """SHA-256 of the last weights of the finished run in `run`, once their file is found whole.

    Raises:
        InputError: the folder is incomplete, damaged, or its run is not finished.
    """
    return _last_weights(run)[0]


def start_from(run: Path, model: nn.Module) -> None:
    """Puts the last weights of the finished run in `run` into `model`, but for readout and head.

    Raises:
        InputError: the folder is incomplete, damaged, or its run is not finished; or its model has other weights: the
            first that differs is named, and nothing has changed.
    """
    given, wanted = _body(_last_weights(run)[1]), _body(weights_of(model))
    for name in wanted | given:
        if name not in given or name not in wanted:
            place = "this model" if name not in wanted else "it"
            raise InputError(f"--init {run}: its model is another one, for {name} is not in {place}; {_SAME}")
        if given[name].shape != wanted[name].shape:
            shapes = f"{tuple(given[name].shape)} there and {tuple(wanted[name].shape)} here"
            raise InputError(f"--init {run}: its model is another one, for {name} is {shapes}; {_SAME}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(given[name])


def _last_weights(run: Path) -> tuple[str, Tensors]:
    """SHA-256 of the file of the last weights of the finished run in `run`, and what is in it."""
    folder = RunFolder(run)
    if not folder.is_finished():
        raise InputError(
            f"--init {run}: is no finished run; accepted: the folder of one, with its {folder.result.name}"
        )
    meta = read_meta(folder)
    file = read_checkpoint(folder, meta["sha256"]).files["weights"]
    config = stored_config(folder, meta)
    with torch.device("meta"):
        source = build_model(config, spec_for(config))
    return file["sha256"], read_tensors(folder, file, weights_of(source))


_SAME = "accepted: a run of the same variant and sizes"


def _body(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(READOUT)}
