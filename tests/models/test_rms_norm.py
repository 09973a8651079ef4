"""RMSNorms of tokens of any mean: the formula, a gain alone, and what they take out of LayerNorms."""

from __future__ import annotations

from typing import cast

import pytest
import torch

from minform_cli.config import legality
from minform_cli.config.axes.norm import Norm
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.count import count_config
from minform_cli.counting.exact import exact_plan
from minform_cli.counting.parameters import counted_groups
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.models.block import Block
from minform_cli.models.fold import fold_sublayers
from minform_cli.models.verify import verify
from tests.models.test_cross_attention import asked
from tests.models.test_identities import EXACT, randomise
from tests.zoo import SIZES, build, examples, run_config, spec_of


def model(kind: str = "pre", **settings: object) -> ModelConfig:
    return ModelConfig.model_validate(SIZES | {"norm": {"kind": kind, "rms": True, "eps": 0.25}} | settings)


@pytest.mark.parametrize("kind", ["pre", "post"])
def test_a_block_is_what_the_formula_says(kind: str) -> None:
    block = randomise(Block(model(kind)))

    def normed(x: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 0.25).sqrt() * norm.weight

    x = asked()
    for sublayer, norm in ((block.attention, block.attention_norm), (block.mlp, block.mlp_norm)):
        assert [name for name, _ in norm.named_parameters()] == ["weight"]
        x = x + sublayer(normed(x, norm)) if kind == "pre" else normed(x + sublayer(x), norm)
    torch.testing.assert_close(block(asked()), x, **EXACT)


@pytest.mark.parametrize("embedding", ["patches", {"kind": "tokens", "norm": True}], ids=["images", "text"])
@pytest.mark.parametrize("affine", [True, False])
def test_every_norm_has_a_gain_or_nothing(affine: bool, embedding: object) -> None:
    text = embedding != "patches"
    norm = {"kind": "pre", "rms": True, "affine": affine, "final_affine": affine}
    asked_for = model(norm=norm, embedding=embedding, readout="mean")
    groups = counted_groups(asked_for, spec_of(asked_for), run_config(asked_for).task)
    assert groups["norm"] == 12 * ((6 + 1 if affine else 0) + text)
    verify(run_config(asked_for), spec_of(asked_for))
    assert not any(isinstance(part, torch.nn.LayerNorm) for part in build(asked_for).modules()) or text


def test_of_mnist_there_is_one_vector_a_norm() -> None:
    for option, numbers in (("rms: false", 13 * 2 * 64), ("rms: true", 13 * 64)):
        config = resolve("mnist", settings=[f"model.norm={{kind: pre, {option}}}"]).config
        assert count_config(config, spec_for(config))["groups"]["norm"] == numbers


def test_gains_of_layer_norms_are_taken_and_of_centred_tokens_the_outputs_too() -> None:
    whole = randomise(Block(ModelConfig.model_validate(SIZES | {"norm": {"kind": "pre", "eps": 0.25}}))).mlp_norm
    made = randomise(Block(model())).mlp_norm
    made.from_separate(whole)
    assert torch.equal(made.weight, whole.weight)
    x = asked()
    torch.testing.assert_close(made(x - x.mean(-1, keepdim=True)), whole(x) - whole.bias, **EXACT)


def test_its_gains_go_into_the_maps_without_any_bias() -> None:
    whole = model(norm={"kind": "pre", "rms": True}, bias="none")
    bare = whole.model_copy(update={"norm": cast(Norm, whole.norm).bare(whole, across=False)})
    given, made = randomise(build(whole)), build(bare, seed=3)
    expected = given(*examples(whole))
    for block in given.blocks:
        fold_sublayers(block)
    made.from_separate(given)
    torch.testing.assert_close(made(*examples(whole)), expected, **EXACT)


def test_what_reads_the_mean_is_not_centred() -> None:
    for norm in ({"centred": True}, {"per_run": True}):
        (problem,) = legality.problems(model(norm={"kind": "pre", "rms": True, **norm}))
        assert problem == f"model.norm 'pre' cannot be both rms and {next(iter(norm))}; accepted: one of them"
    with pytest.raises(InputError, match=r"model\.norm"):
        resolve("debug", "baseline", ["model.norm={kind: none, rms: true}"])


def test_exact_reductions_take_the_gains_and_leave_the_mean() -> None:
    config = resolve("mnist", settings=["model.norm={kind: pre, rms: true}"]).config
    found = {each.name: each for each in exact_plan(config, spec_for(config)).reductions}
    told = [each.why_not for each in found.values() if each.why_not]
    assert any("RMSNorm reads the mean of tokens" in why for why in told)
    assert sum(each.numbers for name, each in found.items() if "norm" in name) == 13 * 64
