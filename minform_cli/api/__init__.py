"""The public Python API: what the commands do, as functions that take the same settings and return the same records.

Everything that can be wrong with names and settings is found before torch is imported.
"""

from minform_cli.api.checks import DEVICES, check_device, checked_spec
from minform_cli.api.counts import count, count_configs, count_model, counted_configs, layers, verify_configs
from minform_cli.api.runs import CHECKPOINTS, SPLITS, default_run_folder, evaluate, train
from minform_cli.api.studies import compare, redraw
from minform_cli.study.options import StudyOptions

__all__ = [
    "CHECKPOINTS",
    "DEVICES",
    "SPLITS",
    "StudyOptions",
    "check_device",
    "checked_spec",
    "compare",
    "count",
    "count_configs",
    "count_model",
    "counted_configs",
    "default_run_folder",
    "evaluate",
    "layers",
    "redraw",
    "train",
    "verify_configs",
]
