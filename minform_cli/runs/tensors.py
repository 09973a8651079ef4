"""Between a model with its optimiser and named tensors in a file; every file is checked before a number is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypedDict, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from minform_cli.errors import InputError, unread
from minform_cli.files import RunFolder, write_atomic

Tensors = dict[str, Tensor]


class FileEntry(TypedDict):
    """One tensor file: its name in the run folder, its size in bytes, its SHA-256."""

    name: str
    size: int
    sha256: str


def write_tensors(folder: RunFolder, name: str, tensors: Tensors) -> FileEntry:
    """Writes one file, all or nothing. It holds nothing but tensors, so equal tensors give equal bytes.

    Raises:
        MachineError: it cannot be written.
    """
    content = safetensors.torch.save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    write_atomic(folder.path / name, content)
    return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def read_tensors(folder: RunFolder, entry: FileEntry, expected: Mapping[str, Tensor] | None = None) -> Tensors:
    """The tensors of one file, on the CPU, once every byte, name, shape and type is as it should be.

    Args:
        folder: the run folder.
        entry: the file, as the checkpoint names it.
        expected: tensors (on any device) whose names, shapes and types must be matched; None: whatever they are.

    Raises:
        InputError: the file is missing, unreadable, damaged, or of another model.
    """
    path = folder.path / entry["name"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unread(error, f"{path} cannot be read: {error.strerror or error}; the run folder is incomplete") from None
    if len(content) != entry["size"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise InputError(f"{path} is damaged: its {len(content):,} bytes are not the {entry['size']:,} that were saved")
    try:
        tensors = safetensors.torch.load(content)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if expected is None:
        return tensors
    for name in sorted(expected.keys() | tensors.keys()):
        saved, wanted = _describe(tensors.get(name)), _describe(expected.get(name))
        if saved != wanted:
            raise InputError(f"{path} does not fit the model: {name} is {saved} in the file and {wanted} in the model")
    return tensors


def _describe(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}".removeprefix("torch.")


def weights_of(model: torch.nn.Module) -> Tensors:
    """Every unique parameter and every saved buffer of `model`, by name; not copies."""
    saved = model.state_dict().keys()
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in saved}
    return {**{name: p.detach() for name, p in model.named_parameters()}, **buffers}


def put_weights(model: torch.nn.Module, weights: Tensors) -> None:
    """Copies `weights`, which `read_tensors` has checked against `weights_of`, into `model`."""
    with torch.no_grad():
        for name, tensor in weights_of(model).items():
            tensor.copy_(weights[name])


def moments_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimiser's tensors for every parameter, as ``parameter:moment``; none before the first step."""
    return {
        f"{name}:{key}": value
        for name, p in model.named_parameters()
        for key, value in cast("dict[str, Tensor]", optimizer.state.get(p, {})).items()
    }


def expected_moments(model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> Tensors:
    """What `moments_of` must look like after `step` steps: names, shapes and types (on the meta device)."""
    if step == 0:
        return {}
    names = {p: name for name, p in model.named_parameters()}
    return {
        f"{names[p]}:{key}": torch.empty_like(p, device="meta") if key != "step" else torch.empty((), device="meta")
        for group in optimizer.param_groups
        for p in cast("list[torch.nn.Parameter]", group["params"])
        for key in _kept(group)
    }


def _kept(group: Mapping[str, object]) -> tuple[str, ...]:
    """What an optimiser keeps for every parameter of the group."""
    if "betas" in group:
        return "step", "exp_avg", "exp_avg_sq"
    return ("momentum_buffer",) if group["momentum"] or "ns_steps" in group else ()  # Muon has one in any case


def put_moments(model: torch.nn.Module, optimizer: torch.optim.Optimizer, moments: Tensors) -> None:
    """Gives `optimizer` the moments that `read_tensors` has checked."""
    of: dict[str, Tensors] = {}
    for key, moment in moments.items():
        name, _, kind = key.rpartition(":")
        of.setdefault(name, {})[kind] = moment
    for name, p in model.named_parameters():
        if name in of:
            optimizer.state[p] = {kind: moment.to(p.device) for kind, moment in of[name].items()}
