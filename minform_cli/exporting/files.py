"""What stands beside the numbers in every exported folder, and how a folder comes into being: whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minform_cli import __version__
from minform_cli.data.spec import spec_record
from minform_cli.errors import InputError, MachineError
from minform_cli.exporting.source import Exported
from minform_cli.results import check_folder, sync_folder, write_atomic, write_json

CONFIG = "config.json"
MODEL = "model.safetensors"
CLASSES = "classes.json"
TOKENIZER = "tokenizer.json"
CARD = "README.md"


def described(model: Exported) -> dict[str, Any]:
    """All that rebuilds the model, and where it comes from, in plain JSON."""
    normalisation = model.normalisation
    return {
        "minform": __version__,
        "config": model.config.model_dump(mode="json"),
        "spec": spec_record(model.spec),
        "normalisation": None if normalisation is None else normalisation._asdict(),
        "fingerprint": model.run.fingerprint,
        "inputs": list(model.graph.inputs),
        "output": model.graph.output,
        "normalises": model.inside,
    }


def write_beside(model: Exported, folder: Path, description: Mapping[str, Any] | None) -> None:
    """Writes tokenizer and class names; and ``config.json``, unless the format has one of its own."""
    if description is not None:
        write_json(folder / CONFIG, description)
    if model.spec.class_names:
        write_atomic(folder / CLASSES, (json.dumps(list(model.spec.class_names), ensure_ascii=False) + "\n").encode())
    if model.tokenizer is not None:
        write_atomic(folder / TOKENIZER, model.tokenizer.encode())


def check_empty(out: Path) -> None:
    """Raises `InputError` unless `out` is absent or an empty folder, `MachineError` where it cannot be written."""
    check_folder(out)
    try:
        if out.is_dir() and any(out.iterdir()):
            raise InputError(f"{out} is not empty: --out names another folder")
    except OSError as error:
        raise MachineError(f"cannot read {out}: {error.strerror or error}") from error


@contextmanager
def whole(out: Path) -> Generator[Path]:
    """A folder beside `out`, which becomes `out` at the end; nothing is left of it if anything goes wrong.

    Raises:
        MachineError: the disk is full, the place cannot be written, or another input/output error.
    """
    made = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        made.mkdir(parents=True)
        yield made
        sync_folder(made)
        if out.is_dir():
            out.rmdir()
        made.replace(out)
        sync_folder(out.parent)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        raise MachineError(f"cannot write {out}: {error.strerror or error}; nothing is left of it") from error
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
