"""Starting from another run's weights: those of its body, while the task's own readout and head start anew; or all."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from minform_cli.errors import InputError
from minform_cli.runs.stored import finished_run
from minform_cli.runs.tensors import Tensors, weights_of

READOUT = "readout."
"""Opens the names of the weights that belong to a task."""


def weights_digest(run: Path, model: nn.Module | None = None, *, whole: bool = False) -> str:
    """SHA-256 of the last weights of the finished run in `run`, once their file is found whole.

    Args:
        run: the folder.
        model: that is to start from them, on the meta device, too.
        whole: whether it takes readout and head, too.

    Raises:
        InputError: the folder is incomplete, damaged, or its run is not finished; or `model` does not take its weights.
    """
    stored = finished_run(run)
    weights = stored.weights()
    if model is not None:
        _check_same(run, _taken(weights, whole=whole), _taken(weights_of(model), whole=whole))
    return stored.checkpoint().files["weights"]["sha256"]


def start_from(run: Path, model: nn.Module, *, whole: bool = False) -> None:
    """Puts the last weights of the finished run in `run` into `model`, but for readout and head unless `whole`.

    Raises:
        InputError: the folder is incomplete, damaged, or its run is not finished; or its model has other weights: the
            first that differs is named, and nothing has changed.
    """
    given = _taken(finished_run(run).weights(), whole=whole)
    wanted = _taken(weights_of(model), whole=whole)
    _check_same(run, given, wanted)
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(given[name])


def _check_same(run: Path, given: Tensors, wanted: Tensors) -> None:
    """Raises `InputError` at the first tensor that only one of them has, or that has another shape."""
    for name in wanted | given:
        if name not in given or name not in wanted:
            place = "this model" if name not in wanted else "it"
            raise InputError(f"--init {run}: its model is another one, for {name} is not in {place}; {_SAME}")
        if given[name].shape != wanted[name].shape:
            shapes = f"{tuple(given[name].shape)} there and {tuple(wanted[name].shape)} here"
            raise InputError(f"--init {run}: its model is another one, for {name} is {shapes}; {_SAME}")


_SAME = "accepted: a run of the same variant and sizes"


def _taken(tensors: Tensors, *, whole: bool) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if whole or not name.startswith(READOUT)}
