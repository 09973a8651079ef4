"""The closed form of the key/value cache is what the keys and values of one more token really take."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.names import preset_names
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.cost import cached_numbers
from minform_cli.counting.form import counted_form
from minform_cli.counting.memory import cost_record
from minform_cli.data.spec import spec_for
from minform_cli.models.parts.attention import Attention
from tests.zoo import attending, run_config, spec_of

SIZES: dict[str, object] = {"dim": 12, "depth": 3, "embedding": "tokens", "readout": "tokens"}
CAUSAL: dict[str, object] = SIZES | {"mask": "causal"}
DECODER: dict[str, object] = SIZES | {"decoder_depth": 2}


def combinations(sizes: dict[str, object]) -> list[ModelConfig]:
    """Every similarity, value path and number of heads that go together in a model of the given sizes."""
    found = [
        ModelConfig.model_validate(
            {axis: accepted[0] for axis, accepted in AXES["value"].get(value).requires.items()}
            | sizes
            | {"similarity": similarity, "value": value, "heads": heads}
        )
        for similarity in attending("similarity")
        for value in attending("value")
        for heads in (1, 3)
    ]
    return [model for model in found if not legality.problems(model)]


def kept(model: ModelConfig) -> int | None:
    return cached_numbers(counted_form(model, spec_of(model), run_config(model).task))


def name(model: ModelConfig) -> str:
    return f"{model.similarity.kind}-{model.value.kind}-{model.heads}"


def unique_numbers(tensors: Sequence[Tensor]) -> int:
    """Numbers that the tensors stand on: what is expanded, shared or seen from two sides once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values()) // tensors[0].element_size()


def made_for(attention: Attention, tokens: int, dim: int) -> int:
    made = attention.keep(torch.randn(1, tokens, dim))
    return 0 if made is None else unique_numbers(made)


def numbers_of_one_more_token(model: ModelConfig, depth: int) -> int:
    """Over the blocks that run, each of which may make another part of them."""
    return sum(numbers_of_a_block(model.at(block)) for block in model.order.blocks(depth))


def numbers_of_a_block(model: ModelConfig) -> int:
    attention = Attention(model, causal=True)
    steps = {made_for(attention, tokens + 1, model.dim) - made_for(attention, tokens, model.dim) for tokens in (1, 4)}
    assert len(steps) == 1, "a token's share depends on how many there are"
    return steps.pop()


def test_every_similarity_and_value_path_is_compared() -> None:
    models = combinations(CAUSAL)
    assert {model.similarity.kind for model in models} == set(attending("similarity"))
    assert {model.value.kind for model in models} == set(attending("value"))
    assert {model.value.kind for model in combinations(DECODER)} == set(attending("value")) - {"stack-collapsed"}


@pytest.mark.parametrize("model", combinations(CAUSAL), ids=name)
def test_cache_of_a_causal_model_is_what_its_attentions_make_of_one_more_token(model: ModelConfig) -> None:
    assert kept(model) == numbers_of_one_more_token(model, model.depth)


@pytest.mark.parametrize("model", combinations(DECODER), ids=name)
def test_cache_of_a_decoder_is_what_its_own_attentions_make_of_one_more_token(model: ModelConfig) -> None:
    assert kept(model) == numbers_of_one_more_token(model, model.decoder_depth)


@pytest.mark.parametrize("model", combinations(SIZES | {"readout": "mean"}), ids=name)
def test_models_that_see_what_stands_behind_keep_no_cache(model: ModelConfig) -> None:
    assert kept(model) is None


@pytest.mark.parametrize("kind", ["shared", {"kind": "listed", "list": [0, 1, 0]}])
def test_a_block_that_runs_again_keeps_keys_again(kind: object) -> None:
    once = kept(ModelConfig.model_validate(CAUSAL | {"depth": 1}))
    assert once == 2 * 12
    assert kept(ModelConfig.model_validate(CAUSAL | {"order": kind})) == 3 * once


def test_cache_of_the_baseline_is_that_of_the_librarys_gpt2() -> None:
    cache = DynamicCache()
    theirs = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=12, n_layer=3, n_head=3, n_positions=7)).eval()
    with torch.no_grad():
        for tokens in range(1, 4):
            theirs(input_ids=torch.zeros(1, 1, dtype=torch.long), past_key_values=cache, use_cache=True)
            held = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
            assert held == tokens * kept(ModelConfig.model_validate(CAUSAL | {"heads": 3}))


# Layers x (keys + values) of the published sizes; V = K keeps half, and so do tokens that are both.
KEPT = [
    ("gpt2", "baseline", 12 * 2 * 768),
    ("gpt2-medium", "baseline", 24 * 2 * 1024),
    ("gpt2-large", "baseline", 36 * 2 * 1280),
    ("gpt2-xl", "baseline", 48 * 2 * 1600),
    ("gpt2", "key-value", 12 * 768),
    ("gpt2", "symmetric", 12 * 2 * 768),
    ("gpt2", "symmetric-mirrored+no-vo", 12 * 768),
    ("gpt2", "cross-layer", 6 * 2 * 768),
    ("gpt2", "first-values", (12 + 1) * 768),
    ("gpt2", "collapsed-vo", 12 * 2 * 768),  # with one head
    ("transformer-base", "baseline", 6 * 2 * 512),
    ("transformer-base", "key-value", 6 * 512),
]


@pytest.mark.parametrize(("preset", "variant", "numbers"), KEPT)
def test_presets_keep_so_many_bytes_of_a_token(preset: str, variant: str, numbers: int) -> None:
    config = resolve(preset, variant).config
    assert kept(config.model) == numbers
    told = cost_record(config, spec_for(config), 1, None)["cache_bytes_per_token"]
    assert told is not None
    assert (told["float32"], told["bfloat16"]) == (4 * numbers, 2 * numbers)


@pytest.mark.parametrize("preset", preset_names())
def test_a_cache_is_told_of_the_presets_that_generate_alone(preset: str) -> None:
    config = resolve(preset).config
    told = cost_record(config, spec_for(config), 1, None)["cache_bytes_per_token"]
    assert (told is not None) == (config.task in ("next-tokens", "translate"))
