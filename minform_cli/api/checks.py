"""What is checked before torch is imported, whatever the command."""

from __future__ import annotations

import re

from minform_cli.config.schema import RunConfig
from minform_cli.counting.variants import check
from minform_cli.data.spec import DataSpec, described
from minform_cli.errors import unknown_name
from minform_cli.tasks import TASKS

DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")


def checked_spec(config: RunConfig) -> DataSpec:
    """The spec of the config's data set, once all that can be wrong with the config is checked. Imports no torch."""
    if config.task not in TASKS.names():
        raise unknown_name("task", config.task, TASKS.names(), f"preset {config.preset}")
    spec = described(config.data)
    check(config, spec)
    return spec


def check_device(name: str) -> None:
    """Raises `InputError` if `name` is no device's name; whether it is there is for torch to say."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        raise unknown_name("device", name, DEVICES, "--device")
