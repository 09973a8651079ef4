"""``--log``: runs as the trackers that people keep see them, while they train. A new tracker is a module and a line."""

from __future__ import annotations

from collections.abc import Sequence

from minform_cli.errors import InputError
from minform_cli.registry import LazyRegistry, installed

TRACKERS = LazyRegistry(
    "log",
    {
        "tensorboard": "minform_cli.tracking.tensorboard",
        "mlflow": "minform_cli.tracking.mlflow",
        "trackio": "minform_cli.tracking.trackio",
        "wandb": "minform_cli.tracking.wandb",
    },
)
"""Name of a tracker -> the module whose ``Tracker`` tells it; its package and the extra that brings it are called so,
too. A ``check`` in the module, where there is one, finds what its settings lack.
"""


def check_trackers(names: Sequence[str]) -> None:
    """Finds out, writing nothing, whether runs can be logged so.

    Raises:
        InputError: one is no tracker, its package is not installed, or its settings do not go together.
    """
    for name in names:
        module = TRACKERS.get(name, "--log")
        if not installed(name):
            raise InputError(f"--log {name}: {name} is not installed; pip install 'minform[{name}]' brings it")
        if hasattr(module, "check"):
            module.check()
