"""In which precision outputs and loss are computed: float32, or bfloat16 where torch's autocast says so.

Weights, their gradients and the optimiser's moments are float32 in either. A run is measured as it is trained.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from minform_cli.config.training import TrainConfig
from minform_cli.errors import InputError

MEASURED = "measured in bf16 (torch.autocast), as the run was trained; its weights are float32"
"""What a measurement of such a run says."""


def computing(train: TrainConfig, device: torch.device) -> AbstractContextManager[object]:
    """Within, operations on `device` compute in the precision of the run."""
    if train.precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def check_precision(train: TrainConfig, device: torch.device) -> None:
    """Raises `InputError` if `device` cannot compute in the precision of the run."""
    if train.precision == "fp32":
        return
    fits = {"cpu": _always, "cuda": torch.cuda.is_bf16_supported, "mps": _mps}.get(device.type, _never)
    if not fits():
        raise InputError(f"train.precision bf16: {device} does not compute in bfloat16 with this torch; accepted: fp32")


def full(outputs: Tensor) -> Tensor:
    """`outputs` in float32 where they are bfloat16, to be measured by; else as they are."""
    return outputs.float() if outputs.dtype == torch.bfloat16 else outputs


def _always() -> bool:
    return True


def _never() -> bool:
    return False


def _mps() -> bool:
    """Apple's framework has bfloat16 from macOS 14 on; before, autocast would switch itself off."""
    return torch.backends.mps.is_macos_or_newer(14, 0)
