"""Where an exported model comes from: the command that makes the run again, the versions that wrote the files."""

from __future__ import annotations

import json
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from minform_cli import __version__
from minform_cli.config.presets import resolve
from minform_cli.config.schema import PLACES, SECTIONS, RunConfig
from minform_cli.errors import MinformError
from minform_cli.runs.stored import StoredRun

_LIBRARIES = ("safetensors", "transformers", "onnx", "onnxscript", "onnxruntime")


def command(run: StoredRun) -> str:
    """The command that makes the run again: its own where it says so, else the training's, with every setting.

    Paths of data are left out: only their fingerprint says which they are.
    """
    origin = run.meta.get("origin", {})
    if origin.get("command"):
        return str(origin["command"])
    config = run.config
    words = ["minform", "train", "--preset", config.preset]
    if config.variant != "baseline":
        words += ["--variant", config.variant]
    if config.init is not None:
        words += ["--init", config.init]
    words += ["--seed", str(config.seed)]
    return shlex.join([*words, *_settings(config)])


def _settings(config: RunConfig) -> list[str]:
    """``--set`` for every setting that preset and variant do not give; none where the preset is no longer there."""
    try:
        given = _flat(resolve(config.preset, config.variant).config)
    except MinformError:
        return []
    words: list[str] = []
    for key, value in _flat(config).items():
        if value != given.get(key) and key.rpartition(".")[2] not in PLACES:
            words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return words


def _flat(config: RunConfig) -> dict[str, Any]:
    """Settings by ``section.field``."""
    sections = config.model_dump(mode="json", include=set(SECTIONS))
    return {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}


def versions() -> dict[str, str]:
    """Of Python, torch, minform, and what else wrote or read the files, where it is installed."""
    found = {"minform": __version__, "python": platform.python_version(), "torch": str(torch.__version__)}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
