"""What another library's built model is asked: whether it does something that no part of ours does."""

from __future__ import annotations

from torch import nn

from minform_cli.errors import InputError
from minform_cli.foreign.adapters.base import Given


def only(given: Given, what: str, value: object, accepted: object) -> None:
    """Raises `InputError` unless what the model has at `what` is what is accepted."""
    if value != accepted:
        raise InputError(f"{given.source}: {what} is {value}, and no part of ours does that; accepted: {accepted}")


def activation(given: Given, what: str, module: nn.Module) -> str:
    """Our MLP with this activation.

    Raises:
        InputError: none has it.
    """
    found = type(module).__name__
    if found == "GELU":
        return "gelu-tanh" if getattr(module, "approximate", "none") == "tanh" else "gelu"
    if found not in _ACTIVATIONS:
        raise InputError(f"{given.source}: {what} is {found}; accepted: GELU, {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[found]


_ACTIVATIONS = {"GELUTanh": "gelu-tanh", "ReLU": "relu"}
