"""Weights that a model keeps elsewhere than in its parameters: quantised, packed into integers, or never registered.

| kept | taken for |
|---|---|
| behind a method `weight()`, as `torch.ao.nn.quantized` has it | the map, convolution or embedding of its sizes |
| in integers, or a buffer `weight`, of a module that says its `in_features` and `out_features` | that map |
| in buffers or parameters called `qweight`, `packed`, ..., of a module that says no sizes | nothing: it is named |
| in plain attributes: tensors, or modules in a list | nothing: torch does not know them; they are named |

What is known is put back as an ordinary module of the same sizes without weights, so that it is recognised, grouped and
reduced like any other. A module whose own numbers are fewer than those of a map of its sizes is otherwise left alone:
it may be a product of smaller ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

_FEATURES = (("in_features", "out_features"), ("infeatures", "outfeatures"))
_PACKED = re.compile(r"(^|_)(qweight|qzeros|packed|quantized|codebooks?|absmax|weight)(_|$)", re.IGNORECASE)
_CONVOLUTIONS: dict[int, Any] = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
_OWN = frozenset(vars(nn.Module()))
"""What every module keeps for itself."""

_SHOWN = 4
"""Names that a note lists before it says how many more there are."""


def unpacked(model: nn.Module) -> tuple[nn.Module, list[str]]:
    """`model` with ordinary modules where it keeps weights elsewhere, and sentences on what was found."""
    known: dict[str, nn.Module] = {}
    unknown: dict[str, int] = {}
    for path, module in model.named_modules():
        if any(path == around or path.startswith(f"{around}.") for around in (*known, *unknown) if around):
            continue
        if (plain := _plain(module)) is not None:
            known[path] = plain
        elif not any(True for _ in module.children()) and (numel := _packed_numbers(module)):
            unknown[path] = numel
    notes: list[str] = []
    if known:
        numel = sum(p.numel() for plain in known.values() for p in plain.parameters())
        notes.append(f"quantised or kept in buffers, counted as the {numel:,} numbers that stand there: {_some(known)}")
    if unknown:
        notes.append(
            f"NOT COUNTED, so that shares are meaningless: weights of a form that is not known, in {_some(unknown)}"
        )
    if hidden := list(_unregistered(model)):
        notes.append(
            "NOT COUNTED, so that shares are meaningless: torch does not know them as parts of the model, for they are "
            f"plain attributes or in plain lists: {_some(hidden)}"
        )
    notes += _kinds(model)
    for path, plain in known.items():
        if not path:
            return plain, notes
        around, _, name = path.rpartition(".")
        setattr(model.get_submodule(around), name, plain)
    return model, notes


def _plain(module: nn.Module) -> nn.Module | None:
    """The ordinary module whose weights `module` keeps elsewhere; None where it keeps none, or nobody knows of what."""
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if callable(weight) and not isinstance(weight, (Tensor, nn.Module)):
        return _of_weight(module, cast(Tensor, weight()), bias() if callable(bias) else bias)
    sizes = _features(module)
    if sizes is None or any(True for _ in module.parameters() if _.dim() > 1 and _.is_floating_point()):
        return None
    if any(True for child in module.children() for _ in child.parameters()):
        return None
    tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    bits = sum(8 * t.numel() * t.element_size() for t in tensors if not t.is_floating_point() and t.dtype != torch.bool)
    wide = any(t.is_floating_point() and t.numel() == sizes[0] * sizes[1] > max(sizes) for t in tensors)
    if bits < sizes[0] * sizes[1] and not wide:
        return None
    return nn.Linear(*sizes, bias=isinstance(bias, Tensor), device="meta")


def _of_weight(module: nn.Module, weight: Tensor, bias: object) -> nn.Module | None:
    """The map, convolution or embedding that a module with this weight computes."""
    with_bias = bias is not None
    if _features(module) == (weight.shape[-1], weight.shape[0]):
        return nn.Linear(weight.shape[1], weight.shape[0], bias=with_bias, device="meta")
    if getattr(module, "num_embeddings", None) == weight.shape[0]:
        return nn.Embedding(weight.shape[0], weight.shape[1], device="meta")
    kind = _CONVOLUTIONS.get(weight.dim())
    channels = [getattr(module, f"{side}_channels", None) for side in ("in", "out")]
    if kind is None or channels[1] != weight.shape[0] or getattr(module, "transposed", False):
        return None
    made: nn.Module = kind(
        *channels,
        weight.shape[2:],
        stride=getattr(module, "stride", 1),
        groups=getattr(module, "groups", 1),
        bias=with_bias,
        device="meta",
    )
    return made


def _features(module: nn.Module) -> tuple[int, int] | None:
    for names in _FEATURES:
        found = [getattr(module, name, None) for name in names]
        if all(isinstance(size, int) for size in found):
            return cast("tuple[int, int]", tuple(found))
    return None


def _packed_numbers(module: nn.Module) -> int:
    """Numbers in what is called like packed weights and takes no gradient, or that only a library's object holds."""
    held = {**dict(module.named_buffers(recurse=False)), **dict(module.named_parameters(recurse=False))}
    found = sum(
        tensor.numel()
        for name, tensor in held.items()
        if _PACKED.search(name) and not tensor.requires_grad and not (name.endswith("weight_mask"))
        and not (isinstance(tensor, nn.Parameter) and tensor.is_floating_point())
    )  # fmt: skip
    objects = sum(isinstance(value, torch.ScriptObject) for value in vars(module).values())
    return found or objects or int(hasattr(module, "_packed_params") or hasattr(module, "_all_weight_values"))


def _unregistered(model: nn.Module) -> Iterator[str]:
    """Paths of tensors that take a gradient, and of modules with parameters, which no `parameters()` gives."""
    registered = {id(module) for module in model.modules()}
    parameters = {id(parameter) for parameter in model.parameters()}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name in _OWN:
                continue
            values: Iterable[object] = [value]
            if isinstance(value, dict):
                values = cast("dict[object, object]", value).values()
            elif isinstance(value, (list, tuple)):
                values = cast("list[object]", value)
            if any(_is_hidden(each, registered, parameters) for each in values):
                yield f"{path}.{name}" if path else name


def _is_hidden(value: object, registered: set[int], parameters: set[int]) -> bool:
    if isinstance(value, nn.Module):
        return id(value) not in registered and any(id(p) not in parameters for p in value.parameters())
    return isinstance(value, Tensor) and value.is_leaf and value.requires_grad and id(value) not in parameters


def _kinds(model: nn.Module) -> list[str]:
    """What it means that some numbers are no plain real ones."""
    notes: list[str] = []
    if names := [path for path, parameter in model.named_parameters() if parameter.is_complex()]:
        notes.append(f"complex, each number counted once and worth two: {_some(names)}")
    if names := [path for path, buffer in model.named_buffers() if path.endswith("weight_mask") and buffer.dim() > 1]:
        notes.append(f"pruned by masks, what they hide counted too: {_some(names)}")
    return notes


def _some(names: Iterable[str]) -> str:
    listed = [name or "the model itself" for name in names]
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
