"""minform: how many parameters can this Transformer do without, and what does that cost?

The functions below take the same settings as the command line and return the same records.
They are imported when first used, so that ``import minform_cli`` does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "PowerOptions",
    "ReduceOptions",
    "SearchOptions",
    "StudyOptions",
    "TableOptions",
    "__version__",
    "compare",
    "compare_table",
    "count",
    "count_model",
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
]

if TYPE_CHECKING:
    from minform_cli.api import (
        PowerOptions,
        ReduceOptions,
        SearchOptions,
        StudyOptions,
        TableOptions,
        compare,
        compare_table,
        count,
        count_model,
        doctor,
        evaluate,
        export,
        import_model,
        layers,
        list_runs,
        load,
        power,
        prepare,
        redraw,
        reduce,
        remove_run,
        schema,
        search,
        train,
    )


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("minform_cli.api"), name)
    raise AttributeError(f"module 'minform_cli' has no attribute {name!r}")
