"""Versions, extras, and the compiler."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator

from minform_cli import __version__
from minform_cli.diagnosis.findings import finding
from minform_cli.diagnosis.records import FindingRecord

LOADED = ("torch", "torchvision", "numpy", "scipy", "sklearn", "safetensors", "tokenizers", "PIL")
"""Packages that are loaded to see whether they do: compiled parts that do not fit each other say so only then."""
OTHERS = ("pydantic", "typer", "rich", "filelock", "sacrebleu")
EXTRAS: dict[str, tuple[str, ...]] = {
    "plot": ("matplotlib",),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow-skinny", "sqlalchemy", "alembic"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "models": ("timm", "transformers"),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "ray": ("ray",),
    "search": ("optuna",),
    "tables": ("pyarrow",),
}
"""Extra -> the packages that it brings."""
_COMPILER_S = 60.0


def versions() -> Iterator[FindingRecord]:
    """Of minform, Python, and what both stand on; without torch nothing works."""
    yield finding("versions", "minform", __version__)
    yield finding("versions", "python", f"{platform.python_version()} ({platform.system()} {platform.machine()})")
    for name in LOADED:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            yield finding("versions", name, f"cannot be loaded: {type(error).__name__}: {first}", "fatal")
        else:
            yield finding("versions", name, str(module.__version__))
    for name in OTHERS:
        yield finding("versions", name, _version(name) or "not installed", "ok" if _version(name) else "problem")


def extras() -> Iterator[FindingRecord]:
    """Which extras are installed, with their versions."""
    for extra, packages in EXTRAS.items():
        there = {name: _version(name) for name in packages}
        missing = [name for name, version in there.items() if version is None]
        text = ", ".join(f"{name} {version}" for name, version in there.items() if version)
        if missing:
            absent = f"without {', '.join(missing)}: pip install 'minform[{extra}]'"
            yield finding("extras", extra, f"{text}; {absent}" if text else absent, "note")
        else:
            yield finding("extras", extra, text)


def compiler() -> Iterator[FindingRecord]:
    """Whether there is a C++ compiler that finds its own headers, which ``train.compile`` needs on a CPU."""
    name = os.environ.get("CXX") or next((name for name in ("g++", "clang++", "c++") if shutil.which(name)), "")
    path = shutil.which(name) if name else None
    without = "train.compile=true will not work; all else does"
    if path is None:
        yield finding("compiler", "C++", f"none found{f' as {name}' if name else ''}: {without}", "note")
        return
    tried = subprocess.run(  # noqa: S603
        [path, "-x", "c++", "-fsyntax-only", "-"],
        input="#include <vector>\nint main() { return 0; }\n",
        capture_output=True,
        text=True,
        timeout=_COMPILER_S,
        check=False,
    )
    if tried.returncode:
        first = (tried.stderr.splitlines() or ["no reason given"])[0]
        yield finding("compiler", "C++", f"{name} fails ({first}): {without}", "note")
        return
    said = subprocess.run(  # noqa: S603
        [path, "--version"], capture_output=True, text=True, timeout=_COMPILER_S, check=False
    )
    yield finding("compiler", "C++", (said.stdout.splitlines() or [name])[0])


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
