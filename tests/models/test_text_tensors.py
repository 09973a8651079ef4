"""Tensors of text models: tied outputs, a gradient for every number, equal bits after saving and loading."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.counting.form import counted_form
from minform_cli.counting.parameters import dead_numbers
from minform_cli.data.spec import PairSpec, TextSpec
from minform_cli.models.verify import count_groups
from minform_cli.runs.tensors import put_weights, weights_of
from tests.models.test_text_properties import (
    DECODER_PARTS,
    ROUNDING,
    causal_model,
    decoder_model,
    encoder_model,
    real_tokens,
    tokens,
)
from tests.zoo import TEXT, build, run_config, spec_of


@pytest.mark.parametrize("kind", ["next-tokens", "translate"])
def test_a_tied_output_is_the_embeddings_tensor_counted_once_with_the_sum_of_the_gradients(kind: str) -> None:
    def model(tied: bool) -> ModelConfig:
        make = decoder_model if kind == "translate" else causal_model
        return make("norm", "post", embedding={"kind": "tokens", "scale": True, "tied": tied})

    tied, untied = build(model(True)), build(model(False))
    words = tied.embedding.words.weight
    decoder_words = [module.decoder_embedding.words.weight for module in (tied, untied) if kind == "translate"]
    assert all(module.embedding.table is module.embedding.words.weight for module in (tied, untied))
    assert not decoder_words or decoder_words[0] is words
    assert tied.readout.head.weight is None and not list(tied.readout.parameters())
    assert sum(p is words for p in tied.parameters()) == 1
    assert count_groups(tied)["head"] == 0
    assert count_groups(tied)["embedding"] == (
        words.numel() + sum(e.positions.table.numel() for n, e in tied.named_children() if n.endswith("embedding"))
    )

    untied.load_state_dict(tied.state_dict(), strict=False)
    with torch.no_grad():
        untied.readout.head.weight.copy_(words)
    inputs = (tokens(), tokens(seed=2)) if kind == "translate" else (tokens(),)
    labels = tokens(seed=3).flatten()
    outputs = [module(*inputs) for module in (tied, untied)]
    torch.testing.assert_close(outputs[0], outputs[1], **ROUNDING)  # the bias of the untied one begins at zero
    for each in outputs:
        F.cross_entropy(each, labels).backward()
    apart = [untied.embedding.words.weight, untied.readout.head.weight, *decoder_words[1:]]
    assert all(float(tensor.grad.abs().max()) > 0 for tensor in apart)
    torch.testing.assert_close(words.grad, sum(tensor.grad for tensor in apart), **ROUNDING)


def test_a_masked_token_head_follows_the_embedding() -> None:
    module = build(encoder_model("norm", "post"))
    before = module(tokens())
    absent = 4  # an entry that no token of the examples is
    module.eval()
    kept = torch.where(tokens() == absent, 0, tokens())
    before = module(kept)
    with torch.no_grad():
        module.embedding.words.weight[absent] += 1.0
    changed = (module(kept) - before).abs().amax(0) > 0
    assert changed.tolist() == [entry == absent for entry in range(TEXT.vocab_size)]


def gradients(model: ModelConfig) -> dict[str, Tensor]:
    """Sum of absolute gradients over several random batches of full length with both types, by parameter."""
    module = build(model).train()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "embedding" in name and "norm" not in name:
                parameter.normal_()  # vectors begin so small that all tokens look alike to attention
    spec = spec_of(model)
    assert isinstance(spec, TextSpec)
    generator = torch.Generator().manual_seed(5)
    total = {name: torch.zeros_like(p) for name, p in module.named_parameters()}

    def drawn(most: int) -> Tensor:
        return torch.randint(most, (16, spec.seq_len), generator=generator)

    for _ in range(6):
        second = (
            drawn(spec.vocab_size)
            if isinstance(spec, PairSpec)
            else drawn(2)
            if getattr(model.embedding, "types", 0)
            else None
        )
        outputs = module(drawn(spec.vocab_size), second)
        module.zero_grad()
        F.cross_entropy(outputs, drawn(spec.vocab_size).flatten()).backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, f"{name} is not used"
            total[name] += parameter.grad.abs()
    return total


def check_gradients(model: ModelConfig) -> None:
    """Every number gets a gradient, but those that are declared dead; and as many are dead as are said."""
    declared = dead_numbers(counted_form(model, spec_of(model), run_config(model).task))
    dead = dict.fromkeys(declared, 0)
    found = gradients(model)
    largest = max(float(g.max()) for g in found.values())
    for name, gradient in found.items():
        silent = gradient < 1e-9 * largest
        place = next((path for path in dead if _stands_in(name, path)), None)
        if place is not None:
            dead[place] += int(silent.sum())
            gradient = gradient[~silent]
        if gradient.numel():
            assert float(gradient.min()) > 1e-6 * largest, f"{name} has a number without gradient"
    assert dead == declared


def _stands_in(name: str, path: str) -> bool:
    """Whether the parameter `name` holds the dead numbers that are told as `path`."""
    tensor = path.split(",")[0]
    return name == tensor or any(name.endswith(f".{attention}.{tensor}") for attention in ("attention", "cross"))


FULL = {"kind": "tokens", "norm": True, "scale": True}


@pytest.mark.parametrize("bias", ["all", "live", "none"])
@pytest.mark.parametrize(("axis", "kind"), DECODER_PARTS)
def test_every_number_of_an_encoder_decoder_gets_a_gradient_but_the_declared_dead(
    axis: str, kind: str, bias: str
) -> None:
    check_gradients(decoder_model(axis, kind, **({} if axis == "bias" else {"bias": bias})))


@pytest.mark.parametrize("bias", ["all", "live", "none"])
@pytest.mark.parametrize("tied", [True, False])
def test_every_number_of_an_untied_and_a_normed_encoder_decoder_gets_a_gradient(bias: str, tied: bool) -> None:
    check_gradients(decoder_model("norm", "post", embedding=FULL | {"tied": tied}, bias=bias))


@pytest.mark.parametrize("mask", ["none", "causal"])
@pytest.mark.parametrize("tied", [True, False])
def test_every_number_of_an_encoder_with_types_gets_a_gradient(tied: bool, mask: str) -> None:
    make = causal_model if mask == "causal" else encoder_model
    check_gradients(make("norm", "post", embedding=FULL | {"types": 2, "tied": tied}, bias="all"))


@pytest.mark.parametrize("decoder_depth", [0, 3])
def test_rows_before_the_first_position_are_the_dead_ones(decoder_depth: int) -> None:
    position = {"kind": "learned", "unused": 2}
    if decoder_depth:
        check_gradients(decoder_model("norm", "post", position=position, bias="live"))
    else:
        check_gradients(encoder_model("norm", "post", position=position, bias="live"))


SAVED = {
    "encoder": encoder_model("norm", "post", embedding=FULL | {"types": 2}, bias="all"),
    "untied encoder": encoder_model("similarity", "pairwise", embedding={"kind": "tokens", "tied": False}),
    "causal": causal_model("similarity", "cholesky", position="sinusoidal"),
    "encoder-decoder": decoder_model("mlp", "relu", embedding=FULL, norm="post"),
    "untied encoder-decoder": decoder_model("similarity", "tied", embedding={"kind": "tokens", "tied": False}),
    "shared encoder-decoder": decoder_model("order", "shared"),
}


@pytest.mark.parametrize("name", SAVED)
def test_saved_and_loaded_text_models_give_equal_bits(name: str) -> None:
    """As checkpoints do it: every tensor once, however many places it stands in."""
    first, second = build(SAVED[name], seed=1), build(SAVED[name], seed=2)
    inputs = (tokens(), tokens(seed=2) if SAVED[name].decoder_depth else None, real_tokens())
    assert not torch.equal(first(*inputs), second(*inputs))
    content = save({key: tensor.contiguous() for key, tensor in weights_of(first).items()})
    assert sum(tensor.numel() for tensor in load(content).values()) == sum(p.numel() for p in first.parameters())
    put_weights(second, load(content))
    assert torch.equal(first(*inputs), second(*inputs))
    third = build(SAVED[name], seed=3)
    third.load_state_dict(first.state_dict())
    assert torch.equal(first(*inputs), third(*inputs))


@pytest.mark.parametrize("name", SAVED)
def test_nothing_constant_is_stored_in_text_models(name: str) -> None:
    module = build(SAVED[name])
    stored = {tensor.data_ptr() for tensor in module.state_dict().values()}
    assert stored == {parameter.data_ptr() for parameter in module.parameters()}
    assert set(weights_of(module)) == {key for key, _ in module.named_parameters()}
