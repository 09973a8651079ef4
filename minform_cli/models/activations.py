"""Bytes of activations that a training step keeps, as autograd says.

Unlike all else that is counted this is no arithmetic over Forms: what autograd keeps is decided by torch's kernels
(which of several equal tensors they save, and where they copy), and changes with its version. So it is asked.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel

from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec
from minform_cli.models.build import build_counted
from minform_cli.models.meta import example_inputs, weightless
from minform_cli.tasks import TASKS


def activation_bytes(config: RunConfig, spec: DataSpec, batch_size: int) -> int:
    """Bytes of float32 that a training step's forward pass keeps for its backward pass; nothing is allocated.

    What autograd keeps is asked of autograd itself, on the meta device; weights are not counted, and a tensor that is
    kept twice counts once. Attention is computed plainly, with its scores kept: fused kernels keep less. A head that
    counts leave out is left out here, too.
    """
    with weightless():
        model = build_counted(config, spec)
        inputs = example_inputs(config, spec, batch_size)
    weights = {id(parameter) for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        base = tensor if tensor._base is None else tensor._base
        if id(base) not in weights:
            kept[id(base)] = base  # held, so that no other tensor takes its id
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor), sdpa_kernel(SDPBackend.MATH):
        outputs = model(*inputs)
        if TASKS.info(config.task).head_is_counted:
            labels = torch.empty(len(outputs), dtype=torch.long, device=outputs.device)
            TASKS.get(config.task).loss(outputs, labels, config.train.label_smoothing)
    return sum(tensor.numel() * tensor.element_size() for tensor in kept.values())
