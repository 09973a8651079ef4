"""Bytes that a model takes: weights by number format, what training adds to them, activations at a batch size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel

from minform_cli.config.schema import RunConfig
from minform_cli.counting.cost import cached_numbers, forward_macs, per_example, training_macs
from minform_cli.counting.meta import example_inputs, weightless
from minform_cli.data.spec import DataSpec
from minform_cli.models.build import build_counted
from minform_cli.results import CostRecord
from minform_cli.tasks import TASKS

BYTES_PER_WEIGHT = {"float32": 4, "bfloat16": 2, "int8": 1}
"""Number formats that weights are kept in -> bytes of one."""

ADAM_BYTES = 8
"""Two float32 moments per number; so for `adam` and `adamw`."""


def cost_record(config: RunConfig, spec: DataSpec, parameters: int, batch_size: int | None) -> CostRecord:
    """What the config's model costs.

    Args:
        config: the run.
        spec: of its data set.
        parameters: of the model.
        batch_size: examples a step, for the activations; None leaves them out, as asking autograd takes a moment.
    """
    cached = cached_numbers(config.model)
    return CostRecord(
        flops_forward=2 * per_example(forward_macs, config, spec),
        flops_training=2 * per_example(training_macs, config, spec),
        weight_bytes={kind: size * parameters for kind, size in BYTES_PER_WEIGHT.items()},
        gradient_bytes=BYTES_PER_WEIGHT["float32"] * parameters,
        optimizer_bytes=ADAM_BYTES * parameters,
        cache_bytes_per_token=None if cached is None else {kind: n * cached for kind, n in BYTES_PER_WEIGHT.items()},
        batch_size=batch_size,
        activation_bytes=None if batch_size is None else activation_bytes(config, spec, batch_size),
    )


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
