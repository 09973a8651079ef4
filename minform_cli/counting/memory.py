"""Bytes that a model takes: weights by number format, what training adds to them, what generation keeps."""

from __future__ import annotations

from minform_cli.config.schema import RunConfig
from minform_cli.counting.cost import cached_numbers, macs_per_example
from minform_cli.counting.form import counted_form, tokens_per_step
from minform_cli.data.spec import DataSpec
from minform_cli.results import CostRecord

BYTES_PER_WEIGHT = {"float32": 4, "bfloat16": 2, "int8": 1}
"""Number formats that weights are kept in -> bytes of one."""

ADAM_BYTES = 8
"""Two float32 moments per number; so for `adam` and `adamw`."""


def cost_record(
    config: RunConfig,
    spec: DataSpec,
    parameters: int,
    batch_size: int | None = None,
    activation_bytes: int | None = None,
) -> CostRecord:
    """What the config's model costs.

    Args:
        config: the run.
        spec: of its data set.
        parameters: of the model.
        batch_size: examples a step, for the activations; None leaves them out.
        activation_bytes: of so many examples, as `models.activations` asks autograd.
    """
    form = counted_form(config.model, spec, config.task)
    cached = cached_numbers(form)
    forward, training = macs_per_example(form, tokens_per_step(config, spec))
    return CostRecord(
        flops_forward=2 * forward,
        flops_training=2 * training,
        weight_bytes={kind: size * parameters for kind, size in BYTES_PER_WEIGHT.items()},
        gradient_bytes=BYTES_PER_WEIGHT["float32"] * parameters,
        optimizer_bytes=ADAM_BYTES * parameters,
        cache_bytes_per_token=None if cached is None else {kind: n * cached for kind, n in BYTES_PER_WEIGHT.items()},
        batch_size=batch_size,
        activation_bytes=activation_bytes,
    )
