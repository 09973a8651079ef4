"""Whole models of Anthe's parts: no look ahead, filling that changes nothing, a gradient for every number."""

from __future__ import annotations

import pytest
import torch

from minform_cli.config import legality
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.linear import TensorChain
from tests.models.test_text_properties import ROUNDING, check_what_a_decoder_sees, other, real_tokens, tokens
from tests.models.test_text_tensors import check_gradients
from tests.zoo import PAIRS, SIZES, build, variant_model

LENGTH = PAIRS.seq_len
CHAINS: dict[str, object] = {"kind": "tensor-chain", "qkv": 0.5, "output": 0.5, "mlp": 0.2}

PARTS: dict[str, dict[str, object]] = {
    "kgv": {"similarity": "identity-key", "value": "kgv"},
    "identity-key": {"similarity": "identity-key"},
    "kgv with keys of its own": {"value": "kgv"},
    "swiglu": {"mlp": "swiglu"},
    "chains": {"linear": CHAINS},
    "chains of 3": {"linear": CHAINS | {"length": 3}},
    "chains of 4": {"linear": CHAINS | {"length": 4}},
    "h-softpos": {"embedding": "h-softpos"},
    "h-softpos of 1 level": {"embedding": {"kind": "h-softpos", "levels": 1}},
    "h-softpos of 3 levels": {"embedding": {"kind": "h-softpos", "levels": 3}},
    "all": {
        "similarity": "identity-key", "value": "kgv", "mlp": "swiglu", "linear": CHAINS, "embedding": "h-softpos",
    },
}  # fmt: skip


def made(parts: dict[str, object], **settings: object) -> ModelConfig:
    standard = {"embedding": {"kind": "tokens", "scale": True}, "position": "sinusoidal", "readout": "tokens"}
    model = ModelConfig.model_validate(SIZES | standard | parts | settings)
    assert not legality.problems(model), legality.problems(model)
    return model


def encoder_decoder(name: str, **settings: object) -> ModelConfig:
    return made(PARTS[name], depth=2, decoder_depth=2, norm="post", bias="all", **settings)


def test_the_variant_has_all_of_the_parts() -> None:
    model = variant_model("anthe")
    kinds = {axis: part.kind for axis, part in model.parts().items()}
    assert kinds["similarity"] == "identity-key"
    assert (kinds["value"], kinds["mlp"], kinds["embedding"]) == ("kgv", "swiglu", "h-softpos")
    module = build(model)
    chains = [name for name, part in module.named_modules() if isinstance(part, TensorChain)]
    # Encoder block 2: B, A, C and the MLP's three; a decoder block has the first three twice. W_O stays dense.
    assert len(chains) == 3 * 6 + 2 * 9
    assert not any(name.endswith("w_o") for name in chains)


@pytest.mark.parametrize("name", PARTS)
def test_a_target_token_changes_no_output_before_it_and_a_source_token_all(name: str) -> None:
    check_what_a_decoder_sees(build(encoder_decoder(name)))


@pytest.mark.parametrize("name", PARTS)
def test_filling_of_the_source_changes_no_output(name: str) -> None:
    module = build(encoder_decoder(name))
    source, target, real = tokens(seed=1), tokens(seed=2), real_tokens()
    outputs = module(source, target, real)
    assert torch.equal(module(torch.where(real, source, other(source)), target, real), outputs)
    by_example = outputs.unflatten(0, (3, LENGTH))
    for row, length in enumerate((5, 3, 1)):
        alone = module(source[row : row + 1, :length], target[row : row + 1])
        torch.testing.assert_close(by_example[row], alone, **ROUNDING)
    assert not torch.allclose(module(source, target), outputs, atol=1e-6)


@pytest.mark.parametrize("name", PARTS)
def test_a_shorter_target_gives_the_first_outputs_of_a_longer_one(name: str) -> None:
    module = build(encoder_decoder(name))
    source, target = tokens(seed=1), tokens(seed=2)
    whole = module(source, target).unflatten(0, (3, LENGTH))
    for length in (1, 2, 4):
        short = module(source, target[:, :length]).unflatten(0, (3, length))
        torch.testing.assert_close(short, whole[:, :length], **ROUNDING)


@pytest.mark.parametrize("bias", ["all", "live", "none"])
@pytest.mark.parametrize("name", PARTS)
def test_every_number_of_an_encoder_decoder_gets_a_gradient(name: str, bias: str) -> None:
    check_gradients(encoder_decoder(name).model_copy(update={"bias": made({}, bias=bias).bias}))


@pytest.mark.parametrize("readout", ["tokens", "class-token"])
@pytest.mark.parametrize("name", PARTS)
def test_every_number_of_an_encoder_gets_a_gradient(name: str, readout: str) -> None:
    mask = "causal" if readout == "tokens" else "none"
    check_gradients(made(PARTS[name], bias="all", mask=mask, readout=readout))


def test_two_sides_have_embeddings_of_their_own_and_an_output_of_its_own() -> None:
    module = build(encoder_decoder("h-softpos"))
    names = {name for name, _ in module.named_parameters()}
    assert module.embedding.words is not module.decoder_embedding.words
    assert {"embedding.words.weight", "decoder_embedding.words.weight", "readout.head.weight"} <= names
    assert module.readout.head.weight.shape == (PAIRS.vocab_size, 12)
    assert module.readout.head.bias is not None
