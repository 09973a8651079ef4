"""Anthe's published counts come out, layer by layer and in all; so do those of what it is measured against."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from minform_cli.config.axes.embedding import HSoftPos as Options
from minform_cli.config.presets import resolve
from minform_cli.counting.cost import forward_macs
from minform_cli.counting.count import count_config
from minform_cli.counting.parameters import counted_groups
from minform_cli.data.spec import TextSpec, spec_for
from minform_cli.models.build import build_model
from minform_cli.models.meta import weightless
from minform_cli.models.parts.embedding import HSoftPos
from minform_cli.models.verify import count_groups
from tests.counting.test_cost import counted_flops

VOCABULARY = "data.vocab_size=32000"
UNTIED = "model.embedding={kind: tokens, scale: true, tied: false}"

# papers.md, section 3: d 512, d_ff 2048, 6 + 6 blocks, vocabulary 32,000.
PUBLISHED = [
    ("baseline", (), 60_522_496),
    ("baseline", (UNTIED,), 93_322_496),
    ("kgv", (), 60_522_496),
    ("kgv+h-softpos+swiglu", (), 68_912_632),
    ("anthe", (), 30_695_032),
    ("kgv+tensor-chain+h-softpos+swiglu", (), 30_695_032),
]


def numbers(module: nn.Module) -> int:
    return sum(p.numel() for p in {id(p): p for p in module.parameters()}.values())


def built(variant: str, *settings: str) -> nn.Module:
    config = resolve("transformer-base", variant, [VOCABULARY, *settings]).config
    with weightless():
        return build_model(config, spec_for(config))


@pytest.mark.parametrize(("variant", "settings", "published"), PUBLISHED)
def test_published_totals_come_out_of_the_built_model_and_of_the_closed_form(
    variant: str, settings: tuple[str, ...], published: int
) -> None:
    config = resolve("transformer-base", variant, [VOCABULARY, *settings]).config
    spec = spec_for(config)
    groups = counted_groups(config.model, spec, config.task)
    assert numbers(built(variant, *settings)) == sum(groups.values()) == published
    assert count_groups(built(variant, *settings)) == groups
    assert count_config(config, spec)["parameters"] == published


def test_layers_of_anthe_have_their_published_numbers() -> None:
    module = built("anthe")
    assert {numbers(block) for block in module.blocks} == {334_090}
    assert {numbers(block) for block in module.decoder_blocks} == {653_066}
    assert numbers(module.embedding) == numbers(module.decoder_embedding) == 4_178_048
    assert numbers(module.readout) == 512 * 32_000 + 32_000 == 16_416_000
    assert numbers(module) == 2 * 4_178_048 + 16_416_000 + 6 * (334_090 + 653_066)


def test_a_layer_is_its_chains_and_biases_its_dense_output_and_its_norms() -> None:
    chains, mlp, norm = 3 * (17_920 + 512), 3 * 3_616 + 2 * 1365 + 512, 2 * 512
    attention = chains + 512 * 512 + 512
    assert attention + mlp + 2 * norm == 334_090
    assert 2 * attention + mlp + 3 * norm == 653_066


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_an_embedding_of_so_many_levels_has_the_numbers_of_its_formula(levels: int) -> None:
    m = 512 // (2 * levels)
    e = 512 - m * (2 * levels - 1)
    assert Options(levels=levels).widths(512) == (e, m)
    expected = 32_000 * e + levels * m**2
    expected += (3 * e * m + m) * (levels > 1) + (3 * m**2 + m) * max(0, levels - 2)
    model = resolve("transformer-base", "h-softpos", [f"model.embedding={{kind: h-softpos, levels: {levels}}}"]).config
    words = TextSpec(name="words", title="words", source="made here", vocab_size=32_000, seq_len=256)
    with weightless():
        assert numbers(HSoftPos(model.model, words)) == expected
    if levels == 2:
        assert (e, m, expected) == (128, 128, 4_178_048)
        assert expected == 32_000 * e + 2 * m**2 + 3 * e * m + m


def test_kgv_attention_has_as_many_numbers_as_the_standard_one_and_a_gated_mlp_about() -> None:
    standard, kgv, gated = (count_config(*_of(variant)) for variant in ("baseline", "kgv", "swiglu"))
    assert standard["parameters"] == kgv["parameters"]
    assert not [note for note in kgv["notes"] if "more than" in note]
    assert gated["groups"]["mlp"] == 12 * (3 * 512 * 1365 + 2 * 1365 + 512)
    assert gated["groups"]["mlp"] / standard["groups"]["mlp"] == pytest.approx(1, abs=1e-3)


def _of(variant: str):
    config = resolve("transformer-base", variant, [VOCABULARY]).config
    return config, spec_for(config)


@pytest.mark.parametrize("settings", [(), ("train.batch_tokens=1",), ("train.batch_size=1", "data.seq_len=4")])
@pytest.mark.parametrize("examples", [1, 3])
def test_flops_of_a_batch_are_those_torch_counts_and_matrices_are_made_once(
    examples: int, settings: tuple[str, ...]
) -> None:
    sizes = ["model.depth=2", "model.decoder_depth=2", "model.dim=64", "data.vocab_size=100"]
    sizes += ["model.linear={kind: tensor-chain, qkv: 0.5, mlp: 0.005}"]
    config = resolve("transformer-base", "anthe", [*sizes, *settings]).config
    spec = spec_for(config)
    forward = forward_macs(config, spec, examples)
    assert counted_flops(config, spec, examples)[0] == 2 * forward
    as_matrix = not settings
    assert (examples * forward_macs(config, spec) - forward > 0) == (as_matrix and examples > 1)


def test_anthe_builds_on_a_device_from_the_global_random_state() -> None:
    config = resolve("transformer-base", "anthe", ["model.dim=16", "model.heads=2", "data.vocab_size=20"]).config
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build_model(config, spec_for(config)).state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
