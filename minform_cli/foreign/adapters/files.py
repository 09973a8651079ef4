"""Reading files of weights; nothing in them is ever run.

Of safetensors only numbers can be read. A ``.pth`` or ``.pt`` file is a pickle, which `torch.load` reads with
``weights_only=True``: it builds tensors and plain containers, and refuses whatever else stands there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from minform_cli.errors import InputError, MinformError, did_you_mean_file, unread
from minform_cli.foreign.adapters.theirs import Theirs

INDEX = ".safetensors.index.json"
"""Ends the name of the file that says which of several files has which tensor."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt")

READ = (".pth", ".pt")
"""Pickles that are read when the user names them."""


def read_folder(folder: Path) -> Theirs:
    """The weights in the ``*.safetensors`` of a folder, one file or several with an index.

    Raises:
        InputError: there are none, they are damaged, or the index names what is not there.
    """
    indices = sorted(folder.glob(f"*{INDEX}"))
    files = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if (folder / "model.safetensors").is_file():
        files, indices = [folder / "model.safetensors"], []
    if not files:
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        if pickles:
            raise InputError(
                f"{folder}: has its weights in {pickles[0]} alone, a pickle, which could run code; accepted: "
                "*.safetensors, which save_pretrained of transformers writes: from_pretrained(FOLDER), then "
                "save_pretrained(OTHER)"
            )
        raise InputError(f"{folder}: has no *.safetensors; accepted: a folder with config.json and model.safetensors")
    if indices:
        return _indexed(folder, indices[0])
    if len(files) > 1:
        names = ", ".join(path.name for path in files[:3])
        raise InputError(f"{folder}: has several files of weights ({names}) and no *{INDEX} that says which is which")
    return read_safetensors(files[0])


def read_weights(path: Path) -> tuple[Theirs, tuple[str, ...]]:
    """The weights in a file that the user names, and what should be said of it.

    Args:
        path: a ``.safetensors``, or a ``.pth``, which is read with ``weights_only=True``.

    Raises:
        InputError: there is no such file, or it is damaged or something else.
    """
    _check_there(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path), ()
    if path.suffix not in READ:
        raise InputError(
            f"{path}: is no file *.safetensors or *{READ[0]}; accepted: one of them, as save_file of safetensors.torch "
            "makes it of torch.load(FILE, weights_only=True)"
        )
    return _read_pickle(path), (f"{path.name} is a pickle: read with weights_only, so that none of its code runs",)


def read_safetensors(path: Path) -> Theirs:
    """The weights in one file.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    return Theirs(str(path), _tensors(path))


def _tensors(path: Path) -> dict[str, Tensor]:
    _check_there(path)
    try:
        found = load_file(path)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path} is damaged or no safetensors file: {_line(error)}") from None
    except OSError as error:
        raise unread(error, f"{path} cannot be read: {error.strerror or error}") from None
    if not found:
        raise InputError(f"{path} holds no tensor; accepted: a file of weights")
    return found


def _indexed(folder: Path, index: Path) -> Theirs:
    """Every tensor from the file that the index names for it."""
    try:
        content: Any = json.loads(index.read_text(encoding="utf-8"))
        places = cast("dict[str, str]", content["weight_map"])
        assert all(isinstance(name, str) and Path(name).name == name for name in places.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError):
        raise InputError(f"{index} is damaged: expected a 'weight_map' from tensors to files beside it") from None
    tensors: dict[str, Tensor] = {}
    for file in dict.fromkeys(places.values()):
        tensors |= _tensors(folder / file)
    if missing := sorted(places.keys() - tensors.keys()):
        raise InputError(f"{index}: tensor {missing[0]} is not in {places[missing[0]]}, where the index says it is")
    return Theirs(str(folder), tensors)


def _read_pickle(path: Path) -> Theirs:
    _check_there(path)
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except MinformError:  # a signal came
        raise
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError, KeyError: whatever the bytes provoke
        if type(error).__name__ == "UnpicklingError":
            raise InputError(
                f"{path} holds more than named tensors, a whole model say, or is damaged: what could run code is not "
                "read; accepted: what torch.save(model.state_dict(), FILE) writes, or *.safetensors"
            ) from None
        raise InputError(f"{path} cannot be read as weights alone: {_line(error)}; accepted: *.safetensors") from None
    for key in ("state_dict", "model", "state_dict_ema", "model_ema"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
            break
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path} holds something else than named tensors; accepted: a state_dict, or *.safetensors")
    if not found:
        raise InputError(f"{path} holds no tensor; accepted: a file of weights")
    return Theirs(str(path), {str(name).removeprefix("module."): value for name, value in found.items()})


def _check_there(path: Path) -> None:
    try:
        if path.is_file():
            return
        what = "is a folder" if path.is_dir() else f"no such file{did_you_mean_file(path)}"
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be looked at: {error}") from None
    raise InputError(f"{path}: {what}; accepted: a file of weights, *.safetensors or *{READ[0]}")


def _line(error: Exception) -> str:
    """The message of a library as one short printable line."""
    text = " ".join(str(error).split())
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
