"""Small models to test on: every part on every axis, every shipped variant, found through the registries."""

from __future__ import annotations

import torch
from torch import nn

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.presets import resolve, variant_names
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.data.spec import DataSpec
from minform_cli.models.build import build_model

SPEC = DataSpec("toy", "toy", "made here", 2, 8, 8, tuple("abcde"), 100, 20, 20)
SIZES: dict[str, object] = {"dim": 12, "depth": 3, "heads": 2, "patch_size": 4, "mlp_multiple": 2}
BIASES = AXES["bias"].names()


def options(axis: str, kind: str) -> object:
    """A value for the axis that names the part, with the options it cannot do without."""
    return {"kind": "listed", "list": (0, 1, 0)} if (axis, kind) == ("order", "listed") else kind


def model_with(axis: str, kind: str, **settings: object) -> ModelConfig:
    """A small model with one part on one axis, and whatever that part requires of the others."""
    part = AXES[axis].parse(options(axis, kind))
    fields = SIZES | {other: accepted[0] for other, accepted in part.requires.items()} | {axis: part} | settings
    if kind == "stack-collapsed":
        fields["heads"] = 1
    model = ModelConfig.model_validate(fields)
    assert not legality.problems(model), legality.problems(model)
    return model


ALL_PARTS = [(axis, kind) for axis in AXES for kind in AXES[axis].names()]


def variant_model(variant: str) -> ModelConfig:
    """A shipped variant at the small sizes."""
    settings = [f"model.{key}={value}" for key, value in SIZES.items() if key != "heads"]
    model = resolve("digits", variant, settings).config.model
    return model if model.heads == 1 else model.model_copy(update={"heads": 2})


ALL_VARIANTS = variant_names()


def run_config(model: ModelConfig) -> RunConfig:
    """A config around a model."""
    return resolve("digits").config.model_copy(update={"model": model})


def build(model: ModelConfig, seed: int = 0, spec: DataSpec = SPEC) -> nn.Module:
    """The model for images of `spec`, in evaluation mode, seeded, in float64 so that identities are exact to 1e-12."""
    torch.manual_seed(seed)
    return build_model(run_config(model), spec).double().eval()


def images(batch: int = 3, seed: int = 1, spec: DataSpec = SPEC) -> torch.Tensor:
    """Random images of `spec`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, spec.channels, spec.height, spec.width, generator=generator, dtype=torch.float64)
