"""Bytes that a model takes: weights by number format, what training adds to them, what generation keeps."""

from __future__ import annotations

from minform_cli.config.form import Form, Map
from minform_cli.config.schema import RunConfig
from minform_cli.config.training import TrainConfig
from minform_cli.counting.cost import cached_numbers, macs_per_example
from minform_cli.counting.form import counted_form, tokens_per_step
from minform_cli.counting.records import CostRecord
from minform_cli.data.spec import DataSpec

BYTES_PER_WEIGHT = {"float32": 4, "bfloat16": 2, "int8": 1}
"""Number formats that weights are kept in -> bytes of one."""

BYTES = BYTES_PER_WEIGHT["float32"]
"""Of a gradient, and of each moment that an optimiser keeps of a number."""


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
        gradient_bytes=BYTES * parameters,
        optimizer_bytes=BYTES * _kept(config.train, form, parameters),
        cache_bytes_per_token=None if cached is None else {kind: n * cached for kind, n in BYTES_PER_WEIGHT.items()},
        batch_size=batch_size,
        activation_bytes=activation_bytes,
    )


def _kept(train: TrainConfig, form: Form, parameters: int) -> int:
    """Numbers beside the weights: the optimiser's moments, and the average of the weights where there is one."""
    average = 0 if train.ema is None else parameters
    if train.optimizer == "sgd":
        return average + (0 if train.momentum == 0 else parameters)
    return average + 2 * parameters - (matrix_numbers(form) if train.optimizer == "muon" else 0)


def matrix_numbers(form: Form) -> int:
    """Of the plain matrices of linear maps within blocks: those of which Muon keeps one moment."""
    maps = [each for path, part in form.walk() if "blocks." in path for each in part.holds if isinstance(each, Map)]
    plain = sum(each.numbers - each.bias for each in maps if each.stored is None)
    stored = [weights for each in maps if each.stored is not None for weights in each.stored.holds]
    return plain + sum(weights.numbers for weights in stored if weights.name == "weight")
