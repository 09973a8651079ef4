"""Parity: an exported model beside the one it was made of, on random examples of several sizes of batch.

Images are random pixels, normalised as the run's; texts random entries of the vocabulary, of every length up to the
batch's width, filled up behind. Outputs at tokens that only fill up mean nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minform_cli.data.spec import ImageSpec
from minform_cli.errors import NumericalError
from minform_cli.exporting.records import ParityRecord
from minform_cli.exporting.source import Batch, Exported, told_apart

SIZES = (1, 2, 7, 64)
"""Examples of the batches that are compared."""

LIMIT = 1e-5
"""Largest difference over the largest output that is let pass: float32 has 6e-8, and layers add up."""

_WIDTH = 24
"""Tokens of the longest example of a batch, but for one batch of the longest that the model takes."""


def compare(model: Exported, run: Callable[[Batch], Tensor], sizes: Sequence[int] = SIZES) -> list[ParityRecord]:
    """How far what `run` gives is from what the stored model gives, by size of batch.

    Raises:
        NumericalError: it is further than `LIMIT`, or either is not finite.
    """
    found: list[ParityRecord] = []
    for size in sizes:
        batch = example_batch(model, size)
        with torch.no_grad():
            expected, given = reference(model, batch), run(batch)
        expected, given = (_at_real_tokens(model, outputs, batch) for outputs in (expected, given))
        if not bool(expected.isfinite().all()):
            raise NumericalError(f"{model.run.folder.path}: the model's outputs are not finite, so there is no parity")
        largest, difference = float(expected.abs().max()), float((given - expected).abs().max())
        relative = difference / largest if largest else difference
        if not relative <= LIMIT:  # also where it is no number
            raise NumericalError(
                f"--format: the exported model's outputs differ by {relative:.1e} of the largest at batch {size}, more "
                f"than {LIMIT:.0e}: nothing is written"
            )
        width = batch["input_ids"].shape[1] if "input_ids" in batch else None
        found.append(ParityRecord(batch=size, tokens=width, largest=largest, difference=difference, relative=relative))
    return found


def example_batch(model: Exported, size: int) -> Batch:
    """Random inputs of the graph for so many examples; the same for the same model and size."""
    random = torch.Generator().manual_seed(size)
    spec = model.spec
    if isinstance(spec, ImageSpec):
        shape = (size, spec.channels, spec.height, spec.width)
        pixels = torch.randint(256, shape, generator=random, dtype=torch.uint8)
        return {"pixel_values": pixels if model.inside else _normalised(model, pixels)}
    width = model.longest if size == SIZES[1] else min(model.longest, _WIDTH - 8 * (size == 1))
    batch = _texts(model, size, width, random)
    if "decoder_input_ids" in model.graph.inputs:
        batch["decoder_input_ids"] = _tokens(model, (size, min(width, 9)), random)
    return {name: batch[name] for name in model.graph.inputs}


def reference(model: Exported, batch: Batch) -> Tensor:
    """What the stored model gives, called as training and `eval` call it."""
    if isinstance(model.spec, ImageSpec):
        pixels = batch["pixel_values"]
        return model.model(_normalised(model, pixels) if model.inside else pixels)
    tokens, real = batch["input_ids"], batch["attention_mask"].bool()
    if "decoder_input_ids" in batch:
        outputs: Tensor = model.model(tokens, batch["decoder_input_ids"], real)
        return outputs.view(*batch["decoder_input_ids"].shape, -1)
    outputs = model.model(tokens, batch.get("token_type_ids"), real)
    return outputs if len(outputs) == len(tokens) else outputs.view(*tokens.shape, -1)


def _texts(model: Exported, size: int, width: int, random: torch.Generator) -> Batch:
    """Tokens of every length up to `width`, at least one of them as long; the first is short."""
    lengths = torch.randint(1, width + 1, (size, 1), generator=random)
    lengths[0], lengths[-1] = (width + 1) // 2, width
    mask = (torch.arange(width) < lengths).long()
    tokens = _tokens(model, (size, width), random)
    types = torch.randint(told_apart(model.config), (size, width), generator=random)
    return {
        "input_ids": torch.where(mask == 1, tokens, model.pad or 0),
        "attention_mask": mask,
        "token_type_ids": types * mask,
    }


def _tokens(model: Exported, shape: tuple[int, int], random: torch.Generator) -> Tensor:
    """Entries of the vocabulary; never the one that fills up, which may mean something to the other library."""
    size: int = model.text.vocab_size
    tokens = torch.randint(size, shape, generator=random)
    return tokens if model.pad is None else torch.where(tokens == model.pad, (model.pad + 1) % size, tokens)


def _normalised(model: Exported, pixels: Tensor) -> Tensor:
    """uint8 pixels as the model takes them."""
    assert model.normalisation is not None
    mean, std = (torch.tensor(each, dtype=torch.float64)[:, None, None] for each in model.normalisation)
    return ((pixels.double() / 255 - mean) / std).float()


def _at_real_tokens(model: Exported, outputs: Tensor, batch: Batch) -> Tensor:
    """Outputs of what is no filling."""
    if outputs.dim() < 3 or "decoder_input_ids" in model.graph.inputs:
        return outputs
    return outputs[batch["attention_mask"].bool()]
