"""What is checked before torch is imported, whatever the command."""

from __future__ import annotations

import re

from minform_cli.config.schema import RunConfig
from minform_cli.counting.variants import check
from minform_cli.data.spec import DataSpec, described
from minform_cli.errors import InputError, unknown_name
from minform_cli.tasks import check_known

DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")

MOST_THREADS = 1024
"""Of one process; a system that cannot start so many ends it, and torch says nothing."""


def checked_spec(config: RunConfig) -> DataSpec:
    """The spec of the config's data set, once all that can be wrong with the config is checked. Imports no torch."""
    check_known(config)
    spec = described(config.data)
    check(config, spec)
    return spec


def check_device(name: str, threads: int | None = None) -> None:
    """Raises `InputError` if `name` is no device's name, which is there for torch to say, or `threads` are too many."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        raise unknown_name("device", name, DEVICES, "--device")
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise InputError(f"--threads: expected 1 to {MOST_THREADS:,}, not {threads:,}")


def check_made(value: object, kind: type, where: str, maker: str) -> None:
    """Raises `InputError` unless `value` is what `maker` makes, with which `where` is called."""
    if not isinstance(value, kind):
        raise InputError(f"{where} takes what {maker}(...) makes, not {value!r}; accepted: {where}({maker}(...))")
