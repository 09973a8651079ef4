"""The public Python API: what the commands do, as functions that take the same settings and return the same records.

Everything that can be wrong with names and settings is found before torch is imported, and a command imports its own
part alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minform_cli.api.checks import DEVICES, check_device, checked_spec
    from minform_cli.api.counts import count, count_configs, count_model, counted_configs, layers, verify_configs
    from minform_cli.api.exports import export, load
    from minform_cli.api.folders import list_runs, remove_run
    from minform_cli.api.imports import import_model
    from minform_cli.api.machine import doctor
    from minform_cli.api.reducing import reduce
    from minform_cli.api.runs import CHECKPOINTS, SPLITS, default_run_folder, evaluate, prepare, train
    from minform_cli.api.schemas import schema
    from minform_cli.api.searches import search
    from minform_cli.api.studies import compare, compare_table, power, redraw
    from minform_cli.reducing.options import ReduceOptions
    from minform_cli.searching.options import SearchOptions
    from minform_cli.study.options import PowerOptions, StudyOptions, TableOptions

_HOMES = {
    "minform_cli.api.checks": ("DEVICES", "check_device", "checked_spec"),
    "minform_cli.api.counts": (
        "count", "count_configs", "count_model", "counted_configs", "layers", "verify_configs",
    ),
    "minform_cli.api.exports": ("export", "load"),
    "minform_cli.api.folders": ("list_runs", "remove_run"),
    "minform_cli.api.imports": ("import_model",),
    "minform_cli.api.machine": ("doctor",),
    "minform_cli.api.reducing": ("reduce",),
    "minform_cli.api.runs": ("CHECKPOINTS", "SPLITS", "default_run_folder", "evaluate", "prepare", "train"),
    "minform_cli.api.searches": ("search",),
    "minform_cli.api.studies": ("compare", "compare_table", "power", "redraw"),
    "minform_cli.api.schemas": ("schema",),
    "minform_cli.reducing.options": ("ReduceOptions",),
    "minform_cli.searching.options": ("SearchOptions",),
    "minform_cli.study.options": ("PowerOptions", "StudyOptions", "TableOptions"),
}  # fmt: skip

__all__ = [
    "CHECKPOINTS",
    "DEVICES",
    "SPLITS",
    "PowerOptions",
    "ReduceOptions",
    "SearchOptions",
    "StudyOptions",
    "TableOptions",
    "check_device",
    "checked_spec",
    "compare",
    "compare_table",
    "count",
    "count_configs",
    "count_model",
    "counted_configs",
    "default_run_folder",
    "doctor",
    "evaluate",
    "export",
    "import_model",
    "layers",
    "list_runs",
    "load",
    "power",
    "prepare",
    "redraw",
    "reduce",
    "remove_run",
    "schema",
    "search",
    "train",
    "verify_configs",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'minform_cli.api' has no attribute {name!r}")
