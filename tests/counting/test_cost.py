"""What a model costs: FLOPs of a training step as torch counts them, bytes as autograd keeps them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from minform_cli.config.names import preset_names, variant_names
from minform_cli.config.presets import Recipe, resolve
from minform_cli.config.schema import RunConfig
from minform_cli.counting.cost import forward_macs, training_macs
from minform_cli.counting.memory import cost_record
from minform_cli.counting.variants import fits
from minform_cli.data.spec import DataSpec, spec_for
from minform_cli.models.activations import activation_bytes
from minform_cli.models.build import build_counted, build_model
from minform_cli.models.meta import example_inputs
from minform_cli.models.parts import products
from tests.zoo import resolve_parts, takes_images

TEXT_VARIANTS = [name for name in variant_names() if not takes_images(resolve_parts(name))]
ONE_EACH = [
    ("vit-base-16", "baseline"), ("debug", "baseline"),
    *(("digits", name) for name in variant_names() if name not in TEXT_VARIANTS),
    *(("transformer-base", name) for name in ("baseline", "tensor-chain", *TEXT_VARIANTS)),
]  # fmt: skip


def of_gradients(*given: object, out_shape: tuple[tuple[int, ...], ...], **_: object) -> int:
    """FLOPs of a convolution's gradients, each like it; torch counts groups as if all channels mixed."""
    (batch, _channels, *places), weight, wanted = given[0], given[2], cast("list[bool]", given[10])  # type: ignore[misc]
    return 2 * math.prod((batch, *places, *cast("tuple[int, ...]", weight))) * sum(wanted[:2])


def counted_flops(config: RunConfig, spec: DataSpec, examples: int = 1) -> tuple[int, int]:
    """FLOPs of a batch forward, and forward and backward, by torch's counter; no weight is allocated."""
    with torch.device("meta"):
        model = build_counted(config, spec)
        inputs = example_inputs(config, spec, examples)
    with FlopCounterMode(display=False, custom_mapping=GROUPED) as counter, sdpa_kernel(SDPBackend.MATH):
        outputs = model(*inputs)
        forward = counter.get_total_flops()
        labels = torch.zeros(len(outputs), dtype=torch.long, device="meta")
        cross_entropy(outputs, labels).backward()
    return forward, counter.get_total_flops()


GROUPED = {torch.ops.aten.convolution_backward: of_gradients}


@pytest.mark.parametrize(("preset", "variant"), ONE_EACH)
def test_flops_are_those_torch_counts_forward_and_in_a_training_step(preset: str, variant: str) -> None:
    config = resolve(preset, variant).config
    spec = spec_for(config)
    assert counted_flops(config, spec) == (
        2 * forward_macs(config, spec),
        2 * training_macs(config, spec),
    )


def assert_flops(preset: str, variants: Sequence[str]) -> None:
    """Of a preset of two blocks, with each of the variants."""
    decoder = ["model.decoder_depth=2"] if resolve(preset).config.model.decoder_depth else []
    for variant in variants:
        config = resolve(preset, variant, ["model.depth=2", *decoder]).config
        spec = spec_for(config)
        told = (2 * forward_macs(config, spec), 2 * training_macs(config, spec))
        assert counted_flops(config, spec) == told, variant


def variants_of(preset: str) -> list[str]:
    spec = spec_for(resolve(preset).config)
    return [config.variant for config in Recipe(preset).legal() if fits(config, spec)]


@pytest.mark.parametrize(("turn", "preset"), [*enumerate(preset_names())])
def test_flops_of_every_preset_as_it_is_and_with_a_variant_in_turn_are_those_torch_counts(
    turn: int, preset: str
) -> None:
    variants = variants_of(preset)
    assert_flops(preset, sorted({"baseline", variants[turn % len(variants)]}))


@pytest.mark.soak
@pytest.mark.parametrize("preset", preset_names())
def test_flops_of_every_preset_with_every_variant_are_those_torch_counts(preset: str) -> None:
    assert_flops(preset, variants_of(preset))


SMALL_TEXT = (
    "model.dim=16", "model.depth=2", "model.decoder_depth=2", "model.heads=2", "model.dropout=0", "data.vocab_size=30",
    "data.seq_len=6", "train.label_smoothing=0",
)  # fmt: skip
IN_MEMORY = [
    *(("digits", name, ()) for name in ("baseline", "no-mlp", "minimal", "symmetric-pairwise", "shared-depth")),
    *(("digits", name, ()) for name in ("kgv", "swiglu", "tensor-chain")),
    *(("transformer-base", name, SMALL_TEXT) for name in ("baseline", "h-softpos", "anthe")),
]


@pytest.mark.parametrize(("preset", "variant", "settings"), IN_MEMORY)
def test_activations_on_the_meta_device_are_the_bytes_that_real_memory_holds(
    preset: str, variant: str, settings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "preferred", lambda: False)  # what it keeps is a matter of the processor
    config = resolve(preset, variant, settings).config
    spec = spec_for(config)
    model = build_model(config, spec)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    held: dict[int, int] = {}
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)  # so that no other tensor takes its place
        return tensor

    inputs = example_inputs(config, spec, 8)
    if inputs[0].is_floating_point():
        inputs = (torch.randn(inputs[0].shape),)
    with saved_tensors_hooks(keep, lambda tensor: tensor), sdpa_kernel(SDPBackend.MATH):
        outputs = model(*inputs)
        cross_entropy(outputs, torch.zeros(len(outputs), dtype=torch.long))
    assert activation_bytes(config, spec, 8) == sum(held.values())


def test_bytes_of_weights_gradients_and_moments() -> None:
    config = resolve("digits").config
    cost = cost_record(config, spec_for(config), 1000, None)
    assert cost["weight_bytes"] == {"float32": 4000, "bfloat16": 2000, "int8": 1000}
    assert (cost["gradient_bytes"], cost["optimizer_bytes"]) == (4000, 8000)
    assert cost["activation_bytes"] is None
