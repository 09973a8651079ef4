"""Properties every part must have: gradients for every number, symmetry where claimed, invariance, equal bits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import nn

from minform_cli.config.schema import ModelConfig
from minform_cli.counting.form import counted_form
from minform_cli.counting.parameters import dead_numbers
from minform_cli.models.build import build_model
from minform_cli.models.parts.attention import Attention
from tests.zoo import (
    ALL_PARTS,
    ALL_VARIANTS,
    ON_GRID,
    SIZES,
    build,
    examples,
    images,
    model_with,
    run_config,
    spec_of,
    variant_model,
)

GOLDEN = Path(__file__).parent / "golden_losses.json"


def gradients(model: ModelConfig) -> dict[str, torch.Tensor]:
    """Sum of absolute gradients over several random batches, by parameter."""
    module = build(model).train()
    generator = torch.Generator().manual_seed(5)
    total = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    for batch in range(6):
        outputs = module(*examples(model, 16, seed=batch))
        labels = torch.randint(0, spec_of(model).num_outputs, (len(outputs),), generator=generator)
        module.zero_grad()
        F.cross_entropy(outputs, labels).backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, f"{name} is not used"
            total[name] += parameter.grad.abs()
    return total


@pytest.mark.parametrize("bias", ["all", "live", "none"])
@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_every_number_gets_a_gradient_but_the_declared_dead(axis, kind, bias):
    model = model_with(axis, kind, **({} if axis == "bias" else {"bias": bias}))
    dead = dead_numbers(counted_form(model, spec_of(model), run_config(model).task))
    found = gradients(model)
    largest = max(float(g.max()) for g in found.values())
    for name, gradient in found.items():
        if name in dead or any(name.endswith(f"attention.{path}") for path in dead):
            assert float(gradient.max()) < 1e-9 * largest, f"{name} is declared dead but is not"
        else:
            assert float(gradient.min()) > 1e-6 * largest, f"{name} has a number without gradient"


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("kind", ["tied", "mirrored", "cholesky"])
def test_symmetric_similarities_have_symmetric_scores(kind, heads):
    model = ModelConfig.model_validate(SIZES | {"similarity": kind, "heads": heads})
    x = torch.randn(2, 7, 12)
    queries, keys = Attention(model).similarity(x, x)
    scores = queries @ keys.transpose(-1, -2)
    torch.testing.assert_close(scores, scores.transpose(-1, -2), atol=1e-5, rtol=1e-5)  # float32 rounding
    if kind != "mirrored":
        assert (
            float(torch.linalg.eigvalsh(scores.detach()).min()) > -1e-4
        )  # positive semidefinite up to float32 rounding


def test_mirrored_can_be_indefinite():
    torch.manual_seed(0)
    model = ModelConfig.model_validate(SIZES | {"similarity": "mirrored"})
    matrix = Attention(model).similarity.m.mirrored()
    assert torch.equal(matrix, matrix.transpose(1, 2))
    assert float(torch.linalg.eigvalsh(matrix.detach()).min()) < -0.01


@pytest.mark.parametrize(
    ("axis", "kind"),
    [(a, k) for a, k in ALL_PARTS if a in ("similarity", "value", "mlp", "norm") and k not in ON_GRID],  # its very idea
)
def test_encoder_without_positions_does_not_see_the_order_of_patches(axis, kind):
    model = model_with(axis, kind, position="none", readout="mean")
    module = build(model)
    picture = images(2)
    patches = picture.unfold(2, 4, 4).unfold(3, 4, 4)  # (B, C, 2, 2, 4, 4)
    shuffled = patches.flatten(2, 3)[:, :, [2, 0, 3, 1]].unflatten(2, (2, 2))
    moved = shuffled.permute(0, 1, 2, 4, 3, 5).reshape_as(picture)
    assert not torch.equal(moved, picture)
    torch.testing.assert_close(module(moved), module(picture), atol=1e-12, rtol=1e-12)  # float64 rounding


def test_positions_make_the_order_of_patches_matter():
    for kind in ("learned", "sinusoidal"):
        module = build(model_with("position", kind, readout="mean"))
        picture = images(2)
        assert not torch.allclose(module(picture.flip(-1)), module(picture.flip(-2)), atol=1e-6)
        swapped = torch.cat([picture[..., 4:], picture[..., :4]], dim=-1)
        assert not torch.allclose(module(swapped), module(picture), atol=1e-6)


@pytest.mark.parametrize("variant", ALL_VARIANTS)
def test_saved_and_loaded_weights_give_equal_bits(variant):
    model = variant_model(variant)
    first, second = build(model, seed=1), build(model, seed=2)
    inputs = examples(model)
    assert not torch.equal(first(*inputs), second(*inputs))
    second.load_state_dict(load(save({k: v.contiguous() for k, v in first.state_dict().items()})))
    assert torch.equal(first(*inputs), second(*inputs))


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_nothing_constant_is_stored(axis, kind):
    """Omitted means absent: the saved state holds exactly the trainable numbers."""
    module = build(model_with(axis, kind))
    assert set(module.state_dict()) == {name for name, _ in module.named_parameters()}


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_parts_follow_the_callers_dtype_and_gradients_pass_gradcheck_at_one_input(axis, kind):
    model = model_with(axis, kind)
    module = build(model).float()
    first, *others = (x.float() if x.is_floating_point() else x for x in examples(model))
    assert module(first, *others).dtype == torch.float32
    precise = module.double()
    if first.is_floating_point():
        assert torch.autograd.gradcheck(precise, (images(1).requires_grad_(),), fast_mode=True)


def five_losses(model: ModelConfig) -> list[float]:
    torch.manual_seed(0)
    spec = spec_of(model)
    module = build_model(run_config(model), spec)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    losses: list[float] = []
    for step in range(5):
        outputs = module(*(x.float() if x.is_floating_point() else x for x in examples(model, 8, seed=step)))
        loss = nn.functional.cross_entropy(outputs, torch.arange(len(outputs)) % spec.num_outputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("variant", ALL_VARIANTS)
def test_five_steps_reproduce_the_golden_losses(variant):
    """A change that should not alter results shows here. MINFORM_WRITE_GOLDEN=1 writes the file anew."""
    losses = five_losses(variant_model(variant))
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("MINFORM_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps({**golden, variant: losses}, indent=1) + "\n")
        return
    assert set(golden) == set(ALL_VARIANTS)
    assert losses == pytest.approx(golden[variant], rel=1e-4)  # another processor's kernels round differently
