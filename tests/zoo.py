"""Small models to test on: every part on every axis, every shipped variant, found through the registries."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.axes.embedding import Embedding
from minform_cli.config.axes.readout import Readout, readouts
from minform_cli.config.presets import read_variant, resolve, variant_names
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.data.spec import DataSpec, ImageSpec, PairSpec, TextSpec
from minform_cli.errors import IllegalModelError
from minform_cli.models.build import build_model
from minform_cli.tasks import check_task

SPEC = ImageSpec(
    name="toy",
    title="toy",
    source="made here",
    channels=2,
    height=8,
    width=8,
    class_names=tuple("abcde"),
    num_train=100,
    num_val=20,
    num_test=20,
)
TEXT = TextSpec(name="words", title="words", source="made here", vocab_size=11, seq_len=5)
PAIRS = PairSpec(name="pairs", title="pairs", source="made here", vocab_size=11, seq_len=5)
SIZES: dict[str, object] = {"dim": 12, "depth": 3, "heads": 2, "patch_size": 4, "mlp_multiple": 2}
BIASES = AXES["bias"].names()
TEXT_READOUTS = [
    kind for kind in readouts() if "tokens" in AXES["readout"].get(kind).requires.get("embedding", ("tokens",))
]
"""Those that give one vector of a text."""


def options(axis: str, kind: str) -> object:
    """A value for the axis that names the part, with the options it cannot do without."""
    own = {
        ("order", "listed"): {"list": (0, 1, 0)},
        ("linear", "low-rank"): {"qkv": 4, "output": 0.7, "mlp": 5},
        ("similarity", "grouped"): {"groups": 0.5},
        ("value", "grouped"): {"groups": 0.5},
    }
    return {"kind": kind, **own[axis, kind]} if (axis, kind) in own else kind


def model_with(axis: str, kind: str, **settings: object) -> ModelConfig:
    """A small model with one part on one axis, and whatever that part requires of the others."""
    part = AXES[axis].parse(options(axis, kind))
    fields = SIZES | {other: accepted[0] for other, accepted in part.requires.items()} | {axis: part} | settings
    if kind == "none" and axis in ("similarity", "value"):
        fields["readout"] = "mean"  # a class token that sees nothing says nothing
    if kind == "relu":
        fields["readout"] = "mean"  # a class token barely varies here, and a rectified unit may stay silent on it
    if kind == "stack-collapsed":
        fields["heads"] = 1
    if kind == "lora":
        fields["depth"] = max(2, int(str(fields["depth"])))  # one run shares nothing
    model = ModelConfig.model_validate(fields)
    assert not legality.problems(model), legality.problems(model)
    return model


ALL_PARTS = [(axis, kind) for axis in AXES for kind in AXES[axis].names()]
ATTENDING = [part for part in ALL_PARTS if part not in (("similarity", "none"), ("value", "none"))]
"""Those with which a token sees others."""
ON_GRID = tuple(kind for kind in AXES["mlp"].names() if "embedding" in AXES["mlp"].get(kind).requires)
"""Sublayers that take the tokens for the places of an image."""
NOT_IN_DECODERS = {
    ("value", "stack-collapsed"), ("linear", "lora"), ("residual", "scaled"), *(("mlp", kind) for kind in ON_GRID),
}  # fmt: skip
"""Parts that no model with a decoder can have."""


def filled(module: nn.Module) -> Any:
    """With random numbers everywhere, so that no bias of zero hides an error."""
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def attending(axis: str) -> tuple[str, ...]:
    """Of an axis, the parts with which a token sees others."""
    return tuple(kind for other, kind in ATTENDING if other == axis)


def covering(**settings: object) -> list[ModelConfig]:
    """Few small models that together have every part of every axis, and one with a decoder.

    A model that stands for many parts serves where one of each part would cost too much.
    """
    left = dict.fromkeys(ALL_PARTS)
    found: list[ModelConfig] = []
    while left:
        axis, kind = next(iter(left))
        model = model_with(axis, kind, **({} if axis == "order" else settings))
        for other in AXES:
            for name in [name for axis_, name in left if axis_ == other and model.parts()[other].kind != name]:
                depth = {"depth": 3} if name == "listed" else {}
                fields = {other: AXES[other].parse(options(other, name))} | depth
                if (other, model.parts()[other].kind) not in left and _goes(model.model_copy(update=fields)):
                    model = model.model_copy(update=fields)
        for axis_, part in model.parts().items():
            left.pop((axis_, part.kind), None)
        found.append(model)
    decoder = model_with("readout", "tokens", decoder_depth=1, **settings)
    return [*found, decoder]


def _goes(model: ModelConfig) -> bool:
    """Whether the parts go together, with the small examples and some task."""
    try:
        check_task(run_config(model), spec_of(model))
    except IllegalModelError:
        return False
    return not legality.problems(model)


def variant_config(variant: str) -> RunConfig:
    """A shipped variant and its baseline at the small sizes: of images, or where it is for text, an encoder-decoder."""
    settings = [f"model.{key}={value}" for key, value in SIZES.items() if key != "heads"]
    if not takes_images(resolve_parts(variant)):
        settings = [*settings, "model.decoder_depth=2", "model.dropout=0", "model.heads=2"]
        untied = "model.embedding={kind: tokens, scale: true, tied: false}"
        baseline = resolve("transformer-base", settings=[*settings, untied]).config.model
        own = [] if "model.embedding" in read_variant(variant).settings else [untied]
        return resolve("transformer-base", variant, [*settings, *own]).config.model_copy(update={"baseline": baseline})
    config = resolve("digits", variant, settings).config
    models = {"model": config.model, "baseline": config.baseline}
    two = {key: model.model_copy(update={"heads": 2}) for key, model in models.items() if model and model.heads > 1}
    return config.model_copy(update=two)


def resolve_parts(variant: str) -> ModelConfig:
    """The embedding that the variant asks for, or has a width for; patches where it asks for none."""
    settings = read_variant(variant).settings
    if "model.embedding_width" in settings:
        return ModelConfig.model_validate({"embedding": AXES["embedding"].parse("tokens")})
    embedding = settings.get("model.embedding")
    return ModelConfig.model_validate(
        {} if embedding is None else {"embedding": AXES["embedding"].parse(embedding.value)}
    )


def variant_model(variant: str) -> ModelConfig:
    """The model of `variant_config`."""
    return variant_config(variant).model


def takes_images(model: ModelConfig) -> bool:
    """Whether its examples are images."""
    return "images" in cast(Embedding, model.embedding).takes


ALL_VARIANTS = variant_names()
IMAGE_VARIANTS = tuple(name for name in ALL_VARIANTS if takes_images(variant_model(name)))
"""Those that make a model of images."""


def spec_of(model: ModelConfig) -> DataSpec:
    """What small examples the model takes."""
    if takes_images(model):
        return SPEC
    return PAIRS if model.decoder_depth else TEXT


def run_config(model: ModelConfig) -> RunConfig:
    """A config around a model, with a task that goes with it."""
    task = "classify-images"
    if not takes_images(model):
        predicts = not cast(Readout, model.readout).per_example
        task = "translate" if model.decoder_depth else "next-tokens" if predicts else "masked-tokens"
    return resolve("digits").config.model_copy(update={"model": model, "task": task})


def build(model: ModelConfig, seed: int = 0, spec: DataSpec | None = None) -> nn.Module:
    """The model for small examples, in evaluation mode, seeded, in float64 so that identities are exact to 1e-12."""
    torch.manual_seed(seed)
    return build_model(run_config(model), spec or spec_of(model)).double().eval()


def examples(model: ModelConfig, batch: int = 3, seed: int = 1) -> tuple[torch.Tensor, ...]:
    """Random inputs of `model`."""
    spec = spec_of(model)
    if isinstance(spec, ImageSpec):
        return (images(batch, seed, spec),)
    assert isinstance(spec, TextSpec)
    generator = torch.Generator().manual_seed(seed)
    number = 2 if isinstance(spec, PairSpec) else 1
    return tuple(torch.randint(spec.vocab_size, (batch, spec.seq_len), generator=generator) for _ in range(number))


def images(batch: int = 3, seed: int = 1, spec: ImageSpec = SPEC) -> torch.Tensor:
    """Random images of `spec`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, spec.channels, spec.height, spec.width, generator=generator, dtype=torch.float64)
