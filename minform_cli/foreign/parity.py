"""Whether an imported model does what the library's own does: both are given the same random inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from minform_cli.config.axes.embedding import Embedding
from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec
from minform_cli.data.text.tokenizer import from_json
from minform_cli.tasks import TASKS

ALLOWED = 1e-5
"""Largest difference of float32 outputs over the largest output; above it something is computed otherwise."""

ROWS, WIDTH = 6, 32
"""Examples of the batch with filling, and its width (less where the model takes less)."""

IMAGES = 4

Inputs = tuple[Tensor | None, ...]
"""What a model's forward takes for one batch."""


class Parity(NamedTuple):
    """How far two models are from each other.

    Attributes:
        difference: the largest of outputs, over `scale`.
        scale: the largest output of the library's own model.
        inputs: how many examples were given.
    """

    difference: float
    scale: float
    inputs: int


def random_inputs(config: RunConfig, spec: DataSpec, tokenizer: str | None = None, seed: int = 0) -> list[Inputs]:
    """Batches that ask for all that a model does: filling, two sentences where it tells them apart, its last position.

    Args:
        config: of the run.
        spec: of its data.
        tokenizer: content of its tokenizer file: its filling entry stands for filling alone.
        seed: of the inputs.
    """
    chance = torch.Generator().manual_seed(seed)
    if isinstance(spec, ImageSpec):
        return [(torch.randn(IMAGES, spec.channels, spec.height, spec.width, generator=chance),)]
    text = cast(TextSpec, spec)
    pad = None if tokenizer is None else from_json(tokenizer.encode(), "tokenizer.json").special.pad
    width = min(WIDTH, text.seq_len)
    lengths = torch.randint(1, width + 1, (ROWS,), generator=chance)
    lengths[0] = width
    whole = torch.tensor([text.seq_len])
    return [_sentences(config, text, each, pad, chance) for each in (lengths, whole)]


def _sentences(config: RunConfig, spec: TextSpec, lengths: Tensor, pad: int | None, chance: torch.Generator) -> Inputs:
    """A batch of examples so long; the second of two sentences begins anywhere in them."""
    width = int(lengths.max())
    places = torch.arange(width)
    real = places < lengths.unsqueeze(1)
    entries = torch.tensor([entry for entry in range(spec.vocab_size) if entry != pad])
    tokens = entries[torch.randint(len(entries), real.shape, generator=chance)].masked_fill(~real, pad or 0)
    types = None
    if (cast(Embedding, config.model.embedding).sentences or 0) > 1:
        seconds = (torch.rand(len(lengths), generator=chance) * lengths).long().unsqueeze(1)
        types = ((places >= seconds) & real).long()
    predict = real.flatten().nonzero().squeeze(1) if TASKS.info(config.task).predicts_tokens else None
    return (tokens, types, None if bool(real.all()) else real, predict)


@torch.no_grad()
def compared(ours: nn.Module, theirs: nn.Module, batches: Sequence[Inputs]) -> Parity:
    """How far the outputs of both are from each other.

    Args:
        ours, theirs: both take the inputs and give outputs of one shape.
        batches: what they are given.
    """
    difference = scale = 0.0
    for inputs in batches:
        found, expected = (_outputs(model, inputs) for model in (ours, theirs))
        assert found.shape == expected.shape, f"{tuple(found.shape)} and {tuple(expected.shape)}"
        difference = max(difference, float((found - expected).abs().max()))
        scale = max(scale, float(expected.abs().max()))
    examples = sum(len(cast(Tensor, inputs[0])) for inputs in batches)
    return Parity(difference / scale if scale else difference, scale, examples)


def _outputs(model: nn.Module, inputs: Inputs) -> Tensor:
    kind = next(model.parameters()).dtype
    given = [each.to(kind) if each is not None and each.is_floating_point() else each for each in inputs]
    return cast(Callable[..., Tensor], model)(*given).double()
