"""A folder of lm-evaluation-harness's ``results_*.json``, a file a run: every task's metrics, by ``task/metric``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from minform_cli.errors import InputError
from minform_cli.files import json_object
from minform_cli.tables.records import Cell, Row, Sheet
from minform_cli.tables.text_files import at_least_one

SHAPE = "a folder of lm-evaluation-harness"

_FILES = "results_*.json"


def is_lm_eval(folder: Path) -> bool:
    """Whether such files lie in `folder` or below."""
    return next(folder.rglob(_FILES), None) is not None


def read_lm_eval(folder: Path) -> Sheet:
    """A row a file: the model, the seed that was set, and each task's metrics without their standard errors.

    Raises:
        InputError: a file is damaged.
    """
    rows: list[Row] = []
    for path in sorted(folder.rglob(_FILES)):
        told = json_object(path, str(path))
        results, config = told.get("results"), told.get("config") or {}
        if not isinstance(results, dict) or not isinstance(config, dict):
            raise InputError(f"{path} is damaged: expected objects in results and config")
        settings = cast("dict[str, Any]", config)
        cells: dict[str, Cell] = {
            "model": str(told.get("model_name") or settings.get("model_args") or settings.get("model") or ""),
            "seed": settings.get("random_seed"),
        }
        for task, measured in cast("dict[str, Any]", results).items():
            if isinstance(measured, dict):
                cells |= _metrics(task, cast("dict[str, Any]", measured))
        rows.append(Row(str(path), cells))
    return Sheet(
        shape=SHAPE,
        columns=tuple(dict.fromkeys(key for row in rows for key in row.cells)),
        rows=at_least_one(rows, folder),
    )


def _metrics(task: str, measured: dict[str, Any]) -> dict[str, Cell]:
    """``acc,none`` is the metric and its filter, which is named where there is one."""
    found: dict[str, Cell] = {}
    for key, value in measured.items():
        metric, _, through = key.partition(",")
        if isinstance(value, int | float) and not metric.endswith("_stderr") and through:
            found[f"{task}/{metric}{'' if through == 'none' else f'/{through}'}"] = value
    return found
