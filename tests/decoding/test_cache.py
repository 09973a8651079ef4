"""A decoder that computes the newest token alone gives what the whole model gives."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from minform_cli.config import legality
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.cost import cached_numbers
from minform_cli.counting.form import counted_form
from minform_cli.decoding import CachedDecoder
from minform_cli.models.stack import EncoderDecoder
from tests.decoding.translators import FIELDS, LENGTH, MODELS, ROUNDING, names, pairs, sources, translator
from tests.zoo import ON_GRID, PAIRS, SIZES, attending, build


def targets(rows: int = 3, seed: int = 2) -> Tensor:
    return torch.randint(11, (rows, LENGTH), generator=torch.Generator().manual_seed(seed))


def last_outputs(model: EncoderDecoder, source: Tensor, real: Tensor | None, target: Tensor) -> Tensor:
    """What follows each row of `target`, computed from nothing."""
    with torch.no_grad():
        states = model.decode(target, model.encode(source, real), real)
        return model.readout.head(states[:, -1], model.decoder_embedding.table)


def test_the_models_have_every_part_of_the_axes_that_a_decoder_has() -> None:
    tested = {(axis, kind) for axis, kind, _ in MODELS}
    for axis in ("similarity", "value", "norm", "position", "embedding", "order", "linear", "mlp", "bias", "residual"):
        assert {kind for other, kind in tested if other == axis} == set(attending(axis)) - {
            "patches",
            "convolutions",
            *ON_GRID,
            "stack-collapsed",
            "lora",
            "scaled",
        }


@pytest.mark.parametrize(("axis", "kind", "settings"), MODELS, ids=names)
def test_every_step_equals_the_whole_model(axis: str, kind: str, settings: Mapping[str, object]) -> None:
    model = translator(axis, kind, **settings)
    (source, real), target = sources(), targets()
    decoder = CachedDecoder(model)
    for mask in (real, None):
        decoder.start(source, mask)
        for step in range(LENGTH):
            outputs = decoder.step(target[:, step])
            torch.testing.assert_close(outputs, last_outputs(model, source, mask, target[:, : step + 1]), **ROUNDING)


@pytest.mark.parametrize(("axis", "kind", "settings"), MODELS, ids=names)
def test_rows_go_on_from_where_they_were_taken(axis: str, kind: str, settings: Mapping[str, object]) -> None:
    """First three rows of every sentence are made of one, then they are mixed, then a sentence leaves."""
    model = translator(axis, kind, **settings)
    source, real = sources()
    tokens = targets(9)
    of_row = torch.arange(3).repeat_interleave(3)
    decoder = CachedDecoder(model)
    decoder.start(source, real)
    decoder.step(tokens[:3, 0])
    decoder.reorder(of_row)
    decoder.step(tokens[:, 1])
    mixed = torch.tensor([1, 1, 0, 5, 3, 4, 8, 7, 8])
    decoder.reorder(mixed)
    begun = torch.stack([tokens[of_row, 0], tokens[:, 1]], dim=1)[mixed]
    outputs = decoder.step(tokens[:, 2])
    whole = torch.cat([begun, tokens[:, 2:3]], dim=1)
    torch.testing.assert_close(outputs, last_outputs(model, source[of_row], real[of_row], whole), **ROUNDING)

    rows, left = torch.tensor([8, 6, 6, 0, 2, 1]), torch.tensor([2, 0])
    decoder.reorder(rows, left)
    of_row, whole = left.repeat_interleave(3), whole[rows]
    for step in (3, 4, 5):
        outputs = decoder.step(tokens[:6, step])
        whole = torch.cat([whole, tokens[:6, step : step + 1]], dim=1)
        torch.testing.assert_close(outputs, last_outputs(model, source[of_row], real[of_row], whole), **ROUNDING)


def test_what_fills_up_a_source_is_not_seen() -> None:
    model, target = translator(), targets()
    source, real = sources()
    outputs: list[Tensor] = []
    for tokens in (source, torch.where(real, source, (source + 4) % 11)):
        decoder = CachedDecoder(model)
        decoder.start(tokens, real)
        outputs.append(decoder.step(target[:, 0]))
    assert torch.equal(*outputs)


def combinations() -> list[ModelConfig]:
    """Every similarity, value path and number of heads that go together in a decoder."""
    found = [
        ModelConfig.model_validate(SIZES | FIELDS | {"similarity": similarity, "value": value, "heads": heads})
        for similarity in attending("similarity")
        for value in attending("value")
        for heads in (1, 3)
    ]
    return [model for model in found if not legality.problems(model)]


@pytest.mark.parametrize("sentences", [1, 3])
@pytest.mark.parametrize("model", combinations(), ids=lambda m: f"{m.similarity.kind}-{m.value.kind}-{m.heads}")
def test_as_much_is_held_as_the_count_says(model: ModelConfig, sentences: int) -> None:
    """Of every source token once, of every generated token in every row, also after rows were taken."""
    built = build(model, spec=pairs())
    assert isinstance(built, EncoderDecoder)
    source, real = sources(sentences)
    decoder = CachedDecoder(built)
    decoder.start(source, real)
    each = cached_numbers(counted_form(model, PAIRS, "translate"))
    assert each is not None
    assert decoder.held_numbers == source.numel() * each
    decoder.step(targets(sentences)[:, 0])
    decoder.reorder(torch.arange(sentences).repeat_interleave(4))
    for step in (1, 2):
        decoder.step(targets(4 * sentences)[:, step])
    assert decoder.held_numbers == (source.numel() + 3 * 4 * sentences) * each


@pytest.mark.parametrize("order", ["shared", {"kind": "listed", "list": [0, 1, 0]}], ids=str)
def test_keys_and_values_of_a_source_are_made_and_held_once_for_a_block(order: object) -> None:
    """However often it runs: each time it asks about the same tokens of the encoder."""
    model = translator("order", "sequential", order=order, depth=3, decoder_depth=3)
    made: list[int] = []
    for number, block in enumerate(model.decoder_blocks):
        block.cross.similarity.w_k.register_forward_hook(lambda *_, number=number: made.append(number))
    source, real = sources()
    decoder = CachedDecoder(model)
    decoder.start(source, real)
    assert made == list(range(len(model.decoder_blocks)))
    of_a_token = 2 * SIZES["dim"]  # type: ignore[operator]
    assert decoder.held_numbers == source.numel() * of_a_token * len(model.decoder_blocks)
    decoder.step(targets()[:, 0])
    assert made == list(range(len(model.decoder_blocks)))
    assert decoder.held_numbers == source.numel() * of_a_token * len(model.decoder_blocks) + 3 * of_a_token * 3


def test_a_model_is_asked_for_no_more_tokens_than_it_has_positions() -> None:
    decoder = CachedDecoder(translator())
    decoder.start(*sources())
    for step in range(LENGTH):
        decoder.step(targets()[:, step])
    with pytest.raises((AssertionError, TypeCheckError)):  # the checks of shapes in tests come first
        decoder.step(targets()[:, 0])


def test_a_model_that_was_trained_does_not_drop_anything() -> None:
    model = translator(dropout=0.5).train()
    decoder = CachedDecoder(model)
    decoder.start(*sources())
    outputs = decoder.step(targets()[:, 0])
    assert not outputs.requires_grad
    torch.testing.assert_close(outputs, last_outputs(translator(), *sources(), targets()[:, :1]), **ROUNDING)
