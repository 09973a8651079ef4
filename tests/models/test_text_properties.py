"""Properties of text models: no look ahead, padding that changes nothing, outputs in their order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config.axes import AXES
from minform_cli.config.schema import ModelConfig
from minform_cli.models.build import build_counted
from tests.zoo import ATTENDING, NOT_IN_DECODERS, ON_GRID, TEXT, TEXT_READOUTS, build, model_with, run_config

ROUNDING = {"atol": 1e-12, "rtol": 1e-12}  # float64: sums of other lengths round differently
LENGTH = TEXT.seq_len

PARTS = [
    (axis, kind) for axis, kind in ATTENDING if axis not in ("embedding", "mask", "readout") and kind not in ON_GRID
]
"""Parts that a text model may have beside its embedding, mask and readout."""
DECODER_PARTS = [part for part in PARTS if part not in NOT_IN_DECODERS]


def causal_model(axis: str, kind: str, **settings: object) -> ModelConfig:
    return model_with(axis, kind, **{"embedding": "tokens", "mask": "causal", "readout": "tokens"} | settings)


def encoder_model(axis: str, kind: str, **settings: object) -> ModelConfig:
    return model_with(axis, kind, **{"embedding": "tokens"} | settings)


def decoder_model(axis: str, kind: str, **settings: object) -> ModelConfig:
    # Without skips a target reaches the output through queries alone, and hardly anything is left of it after three.
    depth = 1 if (axis, kind) == ("residual", "off") else 3
    sizes = {"depth": depth, "decoder_depth": depth}
    return model_with(axis, kind, **{"embedding": "tokens", "readout": "tokens"} | sizes | settings)


def tokens(length: int = LENGTH, seed: int = 1) -> Tensor:
    return torch.randint(TEXT.vocab_size, (3, length), generator=torch.Generator().manual_seed(seed))


def other(entries: Tensor) -> Tensor:
    """Another entry of the vocabulary for each."""
    return (entries + 4) % TEXT.vocab_size


def check_what_a_decoder_sees(module: nn.Module) -> None:
    """That an output depends on every token of the source, and on those of the target up to its own."""
    source, target = tokens(seed=1), tokens(seed=2)
    before = module(source, target).unflatten(0, (3, LENGTH))
    for place in range(LENGTH):
        changed = target.clone()
        changed[:, place] = other(changed[:, place])
        after = module(source, changed).unflatten(0, (3, LENGTH))
        assert torch.equal(after[:, :place], before[:, :place])
        assert all_moved(after[:, place], before[:, place])
        changed = source.clone()
        changed[:, place] = other(changed[:, place])
        assert all_moved(module(changed, target), before.flatten(0, 1)), "an output does not see the source"


def all_moved(outputs: Tensor, before: Tensor) -> bool:
    """Whether no row is what it was: the least change is far above the rounding of float64."""
    return bool(((outputs - before).abs().amax(-1) > 1e-9).all())


def real_tokens(length: int = LENGTH) -> Tensor:
    """Which tokens of three examples of 5, 3 and 1 are real."""
    return torch.arange(length) < torch.tensor([[5], [3], [1]])


def encode(model: ModelConfig) -> nn.Module:
    """The model without its task's head, seeded."""
    torch.manual_seed(0)
    return build_counted(run_config(model), TEXT).double().eval()


@pytest.mark.parametrize(("axis", "kind"), PARTS)
def test_a_token_changes_no_output_before_it_under_a_causal_mask(axis: str, kind: str) -> None:
    module = build(causal_model(axis, kind))
    before = module(tokens()).unflatten(0, (3, LENGTH))
    for place in range(LENGTH):
        changed = tokens()
        changed[:, place] = other(changed[:, place])
        after = module(changed).unflatten(0, (3, LENGTH))
        assert torch.equal(after[:, :place], before[:, :place])
        assert all_moved(after[:, place], before[:, place])


@pytest.mark.parametrize(("axis", "kind"), DECODER_PARTS)
def test_a_target_token_changes_no_output_before_it_and_a_source_token_all(axis: str, kind: str) -> None:
    check_what_a_decoder_sees(build(decoder_model(axis, kind)))


@pytest.mark.parametrize(("axis", "kind"), PARTS)
def test_every_token_of_an_encoder_sees_those_behind_it(axis: str, kind: str) -> None:
    module = build(encoder_model(axis, kind))
    changed = tokens()
    changed[:, -1] = other(changed[:, -1])
    assert all_moved(module(changed), module(tokens()))


@pytest.mark.parametrize("mask", ["none", "causal"])
@pytest.mark.parametrize(("axis", "kind"), PARTS)
def test_what_stands_in_padded_places_changes_no_output_of_a_real_token(axis: str, kind: str, mask: str) -> None:
    module = build(causal_model(axis, kind) if mask == "causal" else encoder_model(axis, kind))
    real = real_tokens()
    filled = torch.where(real, tokens(), other(tokens()))
    outputs = module(tokens(), None, real)[real.flatten()]
    assert torch.equal(module(filled, None, real)[real.flatten()], outputs)
    assert mask == "causal" or not torch.allclose(module(filled)[real.flatten()], outputs, atol=1e-6)


@pytest.mark.parametrize("mask", ["none", "causal"])
@pytest.mark.parametrize(("axis", "kind"), PARTS)
def test_padding_more_changes_no_output_of_a_real_token(axis: str, kind: str, mask: str) -> None:
    module = build(causal_model(axis, kind) if mask == "causal" else encoder_model(axis, kind))
    short = tokens(3)
    alone = module(short).unflatten(0, (3, 3))
    for length in (3, 4, 5):
        longer = torch.cat([short, tokens(length - 3, seed=5)], dim=1)
        real = (torch.arange(length) < 3).expand(3, length)
        outputs = module(longer, None, real).unflatten(0, (3, length))
        torch.testing.assert_close(outputs[:, :3], alone, **ROUNDING)


@pytest.mark.parametrize(
    ("readout", "mask"),
    [
        (readout, mask)
        for readout in TEXT_READOUTS
        for mask in AXES["mask"].names()
        if readout in AXES["mask"].get(mask).requires.get("readout", (readout,))
    ],
)
@pytest.mark.parametrize(("axis", "kind"), [part for part in PARTS if part[0] in ("similarity", "value", "norm")])
def test_padding_changes_no_vector_of_an_example(axis: str, kind: str, readout: str, mask: str) -> None:
    module = encode(encoder_model(axis, kind, readout=readout, mask=mask))
    real = real_tokens()
    vectors = module(tokens(), None, real)
    assert torch.equal(module(torch.where(real, tokens(), other(tokens())), None, real), vectors)
    for row, length in enumerate((5, 3, 1)):
        alone = module(tokens()[row : row + 1, :length])
        torch.testing.assert_close(vectors[row : row + 1], alone, **ROUNDING)
    if AXES["readout"].get(readout).reads_all:
        assert not torch.allclose(module(tokens()), vectors, atol=1e-6)


@pytest.mark.parametrize(("axis", "kind"), DECODER_PARTS)
def test_padding_of_the_source_changes_no_output_of_a_decoder(axis: str, kind: str) -> None:
    module = build(decoder_model(axis, kind))
    source, target, real = tokens(seed=1), tokens(seed=2), real_tokens()
    outputs = module(source, target, real)
    assert torch.equal(module(torch.where(real, source, other(source)), target, real), outputs)
    by_example = outputs.unflatten(0, (3, LENGTH))
    for row, length in enumerate((5, 3, 1)):
        one = slice(row, row + 1)
        alone = module(source[one, :length], target[one])
        torch.testing.assert_close(by_example[row], alone, **ROUNDING)
    assert not torch.allclose(module(source, target), outputs, atol=1e-6)


@pytest.mark.parametrize(("axis", "kind"), [("similarity", "separate"), ("value", "omitted")])
def test_padding_of_the_target_changes_no_output_before_it(axis: str, kind: str) -> None:
    module = build(decoder_model(axis, kind))
    source, target = tokens(seed=1), tokens(seed=2)
    short = module(source, target[:, :3]).unflatten(0, (3, 3))
    torch.testing.assert_close(module(source, target).unflatten(0, (3, LENGTH))[:, :3], short, **ROUNDING)


def test_predict_picks_the_rows_it_names_in_their_order() -> None:
    places = torch.tensor([14, 0, 7, 7, 3])
    for model in (encoder_model("norm", "post"), causal_model("norm", "pre")):
        module, real = build(model), real_tokens()
        rows = module(tokens(), None, real)
        assert rows.shape == (3 * LENGTH, TEXT.vocab_size)
        torch.testing.assert_close(module(tokens(), None, real, places), rows[places], **ROUNDING)
        assert module(tokens(), None, real, places[:0]).shape == (0, TEXT.vocab_size)
    module = build(decoder_model("norm", "post"))
    rows = module(tokens(), tokens(seed=2), real_tokens())
    torch.testing.assert_close(module(tokens(), tokens(seed=2), real_tokens(), places), rows[places], **ROUNDING)


def test_rows_of_the_outputs_are_the_tokens_of_one_example_after_another() -> None:
    module = build(causal_model("norm", "pre"))
    rows = module(tokens())
    for example in range(3):
        one = module(tokens()[example : example + 1])
        torch.testing.assert_close(rows[example * LENGTH : (example + 1) * LENGTH], one, **ROUNDING)


def test_types_are_those_that_are_given_and_the_first_by_default() -> None:
    model = encoder_model("norm", "post", embedding={"kind": "tokens", "types": 2})
    module = build(model)
    first = torch.zeros(3, LENGTH, dtype=torch.long)
    assert torch.equal(module(tokens()), module(tokens(), first))
    with torch.no_grad():
        module.embedding.types[1] += 1.0
    assert torch.equal(module(tokens()), module(tokens(), first))
    assert not torch.allclose(module(tokens(), first + 1), module(tokens(), first), atol=1e-6)
