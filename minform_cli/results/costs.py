"""The records of `count` beyond parameters: what a variant costs, and where in the model its parameters are."""

from __future__ import annotations

from typing import TypedDict

from minform_cli.results.records import CountRecord, RemovableRecord


class CostRecord(TypedDict):
    """What one variant costs. A MAC is two FLOPs.

    `flops_forward` and `flops_training` are per example, the latter of forward and backward pass. `weight_bytes` is by
    number format; `cache_bytes_per_token`, by number format, are the keys and values that generation keeps of a token,
    None for a model that does not generate; `gradient_bytes` and `optimizer_bytes` are float32's, of a training step.
    `activation_bytes` is what a forward pass keeps for the backward pass at `batch_size`; both are None where no batch
    size was given.
    """

    flops_forward: int
    flops_training: int
    weight_bytes: dict[str, int]
    gradient_bytes: int
    optimizer_bytes: int
    cache_bytes_per_token: dict[str, int] | None
    batch_size: int | None
    activation_bytes: int | None


class CountedRecord(CountRecord):
    """One variant's count with what it costs, and with what of it can go exactly."""

    cost: CostRecord
    removable: RemovableRecord


class LayerRecord(TypedDict):
    """One module of a variant's model: everything below it counted, each tensor where it stands first.

    `path` is its name inside the model, `level` how deep it lies (the whole model is 0), `kind` its class. `shared`
    says that it is a block which runs at several depths.
    """

    variant: str
    path: str
    level: int
    kind: str
    parameters: int
    share_of_model: float
    shared: bool
