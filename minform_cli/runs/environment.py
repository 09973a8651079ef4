"""Where a result was made, in the words that stand in it; no time, no path, no host name."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

from minform_cli import __version__


def environment(device: torch.device, threads: int, processes: int = 1) -> dict[str, Any]:
    """What a result says of the machine.

    Args:
        device: that computed, of the first process if there are several.
        threads: of that process.
        processes: that worked on the model.
    """
    return {
        "minform": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": str(device),
        "device_name": device_name(device),
        "threads": threads,
        "processes": processes,
    }


def device_name(device: torch.device) -> str:
    """How the maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if device.type == "cpu" and cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
