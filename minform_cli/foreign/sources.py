"""Builds the model that ``--model SOURCE:NAME`` names, without weights. Nothing is downloaded, no remote code runs.

| source | builds |
|---|---|
| ``timm:NAME`` | a registered timm model, not pretrained |
| ``torchvision:NAME`` | a registered torchvision model, without weights |
| ``hf:FOLDER`` or ``hf:NAME`` | the transformers model of a ``config.json``, in a folder or the local cache |
| ``python:PACKAGE.MODULE:FUNCTION``, ``python:FILE.py:FUNCTION`` | what it returns when called with no arguments |

Built on the meta device. Where a model's constructor computes with numbers that are not there, it is built again on the
CPU with its initialisers skipped, so that the weights' memory is reserved and not touched.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from minform_cli.errors import InputError, MinformError, did_you_mean_file, unknown_name
from minform_cli.foreign.hugging_face import hugging_face, library
from minform_cli.models.meta import weightless

MAX_MESSAGE = 300
"""Characters shown of another library's error."""


@dataclass(frozen=True)
class Skeleton:
    """A model without weights, and how it came about in sentences."""

    module: nn.Module
    notes: list[str]


def build_source(source: str) -> Skeleton:
    """The model that `source`, ``KIND:NAME``, stands for.

    Raises:
        InputError: the source is unknown, its library is not there, or the model cannot be built.
    """
    kind, colon, name = source.partition(":")
    if kind not in SOURCES:
        raise unknown_name("source of a model", kind, SOURCES, "--model")
    if not colon or not name:
        raise InputError(f"--model {source}: no name after the source; accepted: {kind}:NAME")
    # What a constructor prints must not stand between the lines of a table meant for a program.
    with _one_line(source), _on_path(kind), contextlib.redirect_stdout(sys.stderr):
        constructor, notes = SOURCES[kind](name)
        module, where = _weightless_module(constructor)
        if not isinstance(module, nn.Module):
            raise InputError(f"--model {source}: made {type(module).__name__}, not a torch.nn.Module")
        lazy = next((path for path, p in module.named_parameters() if is_lazy(p)), None)
        if lazy is not None:
            raise InputError(f"--model {source}: {lazy} has no size before the model's first batch (a lazy module)")
    return Skeleton(module, [*notes, *where])


def _weightless_module(constructor: Callable[[], object]) -> tuple[object, list[str]]:
    try:
        with weightless():
            return constructor(), []
    except (RuntimeError, NotImplementedError) as error:
        # item(), tolist() and copies to a device need numbers; torch has no type for these errors.
        if not any(sign in str(error) for sign in ("meta", "fake impl")):
            raise
    with weightless(), torch.device("cpu"):
        return constructor(), ["its constructor needs numbers, so it was built on the CPU with weights left unset"]


def _timm(name: str) -> tuple[Callable[[], object], list[str]]:
    timm = library("timm")
    if not timm.is_model(name):
        raise _unknown_model("timm", name, timm.list_models())
    return lambda: timm.create_model(name, pretrained=False), []


def _torchvision(name: str) -> tuple[Callable[[], object], list[str]]:
    from torchvision import models

    known = models.list_models()
    if name.lower() not in known:
        raise _unknown_model("torchvision", name, known)
    # Detectors fetch their backbone's weights unless told not to; Inception warns about its own initialiser.
    accepted = inspect.signature(models.get_model_builder(name)).parameters
    switches = {"weights": None, "weights_backbone": None, "init_weights": False}
    chosen = {key: value for key, value in switches.items() if key in accepted}
    return lambda: models.get_model(name, **chosen), []


def _python(name: str) -> tuple[Callable[[], object], list[str]]:
    module_name, colon, function_name = name.rpartition(":")  # a Windows path has a colon of its own
    if not colon or not function_name.isidentifier():
        raise InputError(f"--model python:{name}: accepted: python:PACKAGE.MODULE:FUNCTION, python:FILE.py:FUNCTION")
    module = _file(name, module_name) if _is_file(module_name) else _module(name, module_name)
    made = getattr(module, function_name, None)
    if not callable(made):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise _unknown("function", f"python:{name}", function_name, public, f"in {module_name}")
    return (lambda: made) if isinstance(made, nn.Module) else made, []


def _is_file(name: str) -> bool:
    return name.endswith(".py") or "/" in name or "\\" in name


def _file(name: str, path_name: str) -> ModuleType:
    """The module of a file: under its dotted name where it lies below the working directory, in a package or not."""
    path = Path(path_name.replace("\\", os.sep)).expanduser()
    path = path if path.suffix == ".py" else path.with_name(f"{path.name}.py")
    try:
        path = path.resolve()
        is_file, folder = path.is_file(), path.parent
        near = did_you_mean_file(path) if not is_file else ""
    except (OSError, RuntimeError, ValueError) as error:  # a folder that is shut, no such user, a NUL
        raise InputError(f"--model python:{name}: cannot be looked at: {error}") from None
    if not is_file:
        raise InputError(
            f"--model python:{name}: no such file {str(path)!r}{near}; "
            "accepted: python:PACKAGE.MODULE:FUNCTION, python:FILE.py:FUNCTION"
        )
    here = Path.cwd()
    if path.is_relative_to(here):
        parts = path.relative_to(here).with_suffix("").parts
        if all(part.isidentifier() for part in parts):
            with contextlib.suppress(ImportError):  # of a folder that is another package's name
                found = importlib.import_module(".".join(parts))
                if found.__file__ is not None and Path(found.__file__).resolve() == path:
                    return found
    described = importlib.util.spec_from_file_location(path.stem, path)
    assert described is not None, "the name ends in .py"
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.path.insert(0, str(folder))  # what lies beside it can be imported, as when it is run
    try:
        described.loader.exec_module(module)
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
    return module


def _module(name: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that the user's own module misses is that module's error.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        where = f"in {Path.cwd()} or among the installed packages"
        raise InputError(f"--model python:{name}: no module {error.name!r} {where}") from None


SOURCES: dict[str, Callable[[str], tuple[Callable[[], object], list[str]]]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "hf": hugging_face,
    "python": _python,
}
"""Source -> from a name to what builds the model, and notes. The name is checked before anything is built."""


def _unknown_model(library: str, name: str, known: list[str]) -> InputError:
    return _unknown("model", f"{library}:{name}", name, known, f"of {library}'s {len(known):,}")


def _unknown(what: str, source: str, name: str, known: list[str], where: str) -> InputError:
    """The error for a name among too many to list."""
    begun = sorted((found for found in known if found.startswith(name)), key=len)
    near = list(dict.fromkeys([*begun, *difflib.get_close_matches(name, known, n=3, cutoff=0.5)]))[:3]
    hint = f"; nearest {where}: {', '.join(near)}" if near else f"; none {where} is near"
    return InputError(f"--model {source}: unknown {what} {name!r}{hint}")


@contextlib.contextmanager
def _on_path(kind: str) -> Generator[None]:
    """The working directory comes first on the import path, as it does for ``python -m``; for `python` sources only."""
    here = str(Path.cwd())
    if kind == "python":
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if kind == "python" and here in sys.path:
            sys.path.remove(here)


@contextlib.contextmanager
def _one_line(source: str) -> Generator[None]:
    """Whatever another library raises, in one line; our own errors pass."""
    try:
        yield
    except MinformError:
        raise
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())
        short = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}..."
        raise InputError(f"--model {source}: {type(error).__name__}: {short or 'no message'}") from error
