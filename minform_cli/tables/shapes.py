"""What files and folders of other tools are recognised by, in the order they are asked: a new tool is one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minform_cli.errors import InputError, did_you_mean_file
from minform_cli.tables import (
    exports,
    hugging_face,
    lm_eval,
    mlflow_folder,
    mlflow_store,
    optuna,
    parquet,
    tensorboard,
    text_files,
    wandb_folder,
)
from minform_cli.tables import trackio as trackio_file
from minform_cli.tables.records import Sheet


@dataclass(frozen=True)
class Shape:
    """One shape: what messages call it, how it is recognised, and what reads it."""

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Sheet]


def _ends(*suffixes: str) -> Callable[[Path], bool]:
    return lambda path: path.suffix.lower() in suffixes


FILES = (
    Shape("a project of trackio (SQLite)", trackio_file.is_trackio, trackio_file.read_trackio),
    Shape("a store of mlflow (SQLite)", mlflow_store.is_store, mlflow_store.read_store),
    Shape("a study of Optuna (SQLite)", optuna.is_optuna, optuna.read_optuna),
    Shape("a study of Optuna (journal)", optuna.is_journal, optuna.read_journal),
    Shape("Parquet", _ends(".parquet"), lambda path: trackio_file.recognised(parquet.read_parquet(path), path)),
    Shape("JSON Lines (.jsonl, .ndjson)", _ends(*text_files.JSON_LINES), text_files.read_json_lines),
    Shape(
        "CSV (.csv), TSV (.tsv, .txt)",
        _ends(*text_files.DELIMITERS),
        lambda path: exports.recognised(text_files.read_delimited(path), path),
    ),
)

FOLDERS = (
    Shape("mlflow's mlruns", mlflow_folder.is_mlflow, mlflow_folder.read_mlflow),
    Shape("TensorBoard's event files", tensorboard.is_tensorboard, tensorboard.read_tensorboard),
    Shape("transformers' trainer_state.json", hugging_face.is_trainer, hugging_face.read_trainer),
    Shape("lm-evaluation-harness's results_*.json", lm_eval.is_lm_eval, lm_eval.read_lm_eval),
    Shape("projects of trackio", trackio_file.is_trackio_folder, trackio_file.read_trackio_folder),
    Shape("wandb's runs", wandb_folder.is_wandb, wandb_folder.read_wandb),
)


def read_sheet(path: Path, option: str = "--table") -> Sheet:
    """The rows of a file or folder, which `option` names, by the first shape that recognises it.

    Raises:
        InputError: there is none, no shape recognises it, or it is damaged.
    """
    shapes = _shapes(path)
    if not path.exists():
        raise InputError(f"{option} {path}: is neither a file nor a folder{did_you_mean_file(path)}")
    for shape in shapes:
        if shape.recognises(path):
            return shape.read(path)
    raise InputError(
        f"{option} {path}: is no {'folder' if path.is_dir() else 'file'} that is known{_known_inside(path)}; accepted: "
        f"{', '.join(shape.name for shape in shapes)}"
    )


def _known_inside(path: Path) -> str:
    """What of a folder is known, where people name the one around it; nothing of a file."""
    try:
        inside = sorted(path.iterdir()) if path.is_dir() else []
        known = next((each for each in inside if any(shape.recognises(each) for shape in _shapes(each))), None)
    except OSError:  # one that may not be looked into
        known = None
    return "" if known is None else f"; did you mean {str(known)!r}?"


def _shapes(path: Path) -> tuple[Shape, ...]:
    return FOLDERS if path.is_dir() else FILES
