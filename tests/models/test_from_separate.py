"""Every part takes its weights out of those of the part that it replaces, or says why it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config.axes import AXES
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.block import Block
from minform_cli.models.parts.attention import Attention
from minform_cli.models.parts.embedding import EMBEDDINGS
from minform_cli.models.parts.linear import LINEARS
from minform_cli.models.parts.mlp import MLPS
from minform_cli.models.parts.norm import NORMS
from minform_cli.models.parts.position import POSITIONS
from minform_cli.models.parts.readout import READOUTS
from minform_cli.models.parts.similarity import SIMILARITIES
from minform_cli.models.parts.value import VALUES
from minform_cli.registry import Registry
from tests.models.test_cross_attention import asked, asking, combinations
from tests.models.test_identities import EXACT, attention, randomise
from tests.zoo import ALL_VARIANTS, SIZES, build, examples, images, model_with, variant_config

REGISTRIES: Mapping[str, Registry[Any]] = {
    "similarity": SIMILARITIES,
    "value": VALUES,
    "mlp": MLPS,
    "norm": NORMS,
    "position": POSITIONS,
    "embedding": EMBEDDINGS,
    "readout": READOUTS,
    "linear": LINEARS,
}


@pytest.mark.parametrize("axis", REGISTRIES)
def test_every_part_says_where_it_does_what_the_standard_one_did_or_why_it_has_nothing_of_it(axis: str) -> None:
    for kind in REGISTRIES[axis].names():
        part = REGISTRIES[axis].get(kind)
        assert bool(part.exact_where) != bool(part.no_source), f"{axis} {kind}"


@pytest.mark.parametrize(("similarity", "value", "heads"), combinations())
def test_what_separate_maps_can_do_is_taken_over_from_them(similarity: str, value: str, heads: int) -> None:
    """There and back: from the part to separate maps, where those can do it, and from them to another of its kind."""
    settings: dict[str, object] = {"similarity": similarity, "value": value, "heads": heads, "bias": "all"}
    part, separate = attention(**settings), attention(heads=heads, bias="all")
    other = randomise(attention(**settings))
    try:
        part.similarity.as_separate(separate.similarity)
        other.similarity.from_separate(separate.similarity)
    except InputError:
        other.similarity.from_separate(part.similarity)
    try:
        part.value.as_separate(separate.value, part.similarity)
        other.value.from_separate(separate.value, other.similarity)
    except InputError:
        other.value.from_separate(part.value, other.similarity)
    torch.testing.assert_close(other(asking(), asked()), part(asking(), asked()), **EXACT)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize(("axis", "kind"), [("similarity", "collapsed"), ("value", "collapsed"), ("value", "kgv")])
def test_parts_that_can_do_more_than_separate_ones_do_what_those_did(axis: str, kind: str, heads: int) -> None:
    separate, part = attention(heads=heads, bias="all"), attention(heads=heads, bias="all", **{axis: kind})
    part.from_separate(separate)
    torch.testing.assert_close(part(asking(), asked()), separate(asking(), asked()), **EXACT)


@pytest.mark.parametrize("kind", ["identity-query", "identity-key"])
def test_with_one_head_one_projection_does_what_two_did(kind: str) -> None:
    bias = "none" if kind == "identity-query" else "all"
    separate, part = attention(heads=1, bias=bias), attention(heads=1, bias=bias, similarity=kind)
    part.from_separate(separate)
    torch.testing.assert_close(part(asking(), asked()), separate(asking(), asked()), **EXACT)


def test_with_one_head_keys_are_values_that_w_o_can_turn_into_any() -> None:
    separate, part = attention(heads=1, bias="all"), attention(heads=1, bias="all", value="key")
    part.from_separate(separate)
    torch.testing.assert_close(part(asking(), asked()), separate(asking(), asked()), atol=1e-9, rtol=1e-9)  # an inverse


def products(part: Attention) -> Tensor:
    """W_Qh W_Kh^T of every head, (H, N, N)."""
    return part.similarity.products(part.similarity.projections())


@pytest.mark.parametrize(
    ("kind", "heads"),
    [
        *((kind, heads) for kind in ("tied", "mirrored", "cholesky") for heads in (1, 2)),
        *((kind, 2) for kind in ("identity-query", "identity-key")),  # with one head they are exact
    ],
)
def test_no_weights_nearby_come_nearer_to_the_products_of_separate_ones(kind: str, heads: int) -> None:
    separate = randomise(attention(heads=heads, bias="none"))
    part = attention(heads=heads, bias="none", similarity=kind)
    wanted = products(separate)
    part.from_separate(separate)
    least = float((products(part) - wanted).norm())
    assert 0.1 < least < float(wanted.norm())
    (found,) = (parameter.detach().clone() for parameter in part.similarity.parameters())
    generator = torch.Generator().manual_seed(1)
    for size in (1e-3, 1e-1):
        for _ in range(10):
            moved = found + size * torch.randn(found.shape, generator=generator, dtype=torch.float64)
            with torch.no_grad():
                next(part.similarity.parameters()).copy_(moved)
            assert float((products(part) - wanted).norm()) > least


def test_pairwise_coefficients_keep_more_of_separate_projections_than_one_projection_does() -> None:
    separate = randomise(attention(bias="none"))
    errors: dict[str, float] = {}
    for kind in ("tied", "pairwise"):
        part = attention(bias="none", similarity=kind)
        part.from_separate(separate)
        errors[kind] = float((products(part) - products(separate)).norm())
    assert errors["pairwise"] < errors["tied"]


def mlp(kind: str = "gelu", **settings: object) -> nn.Module:
    return randomise(MLPS.get(kind)(ModelConfig.model_validate(SIZES | settings)))


@pytest.mark.parametrize("kind", ["gelu", "gelu-tanh", "relu"])
def test_a_narrower_mlp_keeps_the_largest_units_and_does_the_same_where_the_others_gave_nothing(kind: str) -> None:
    whole, half = mlp(kind), mlp(kind, mlp_multiple=1)
    silent = torch.arange(24) % 2 == 0
    with torch.no_grad():
        whole.w_2.weight[:, silent] *= 1e-3
        half.from_separate(whole)
        assert torch.equal(half.w_1.weight, whole.w_1.weight[~silent])
        whole.w_2.weight[:, silent] = 0
    torch.testing.assert_close(half(asked()), whole(asked()), **EXACT)
    wider = mlp(kind, mlp_multiple=3)
    wider.from_separate(whole)
    torch.testing.assert_close(wider(asked()), whole(asked()), **EXACT)


def test_a_gated_mlp_says_why_it_has_no_weights() -> None:
    with pytest.raises(InputError, match="SwiGlu has no weights from GeluMlp: a gate and what it lets through"):
        mlp("swiglu").from_separate(mlp())


def test_norms_and_narrower_blocks_follow_their_block() -> None:
    whole = randomise(Block(ModelConfig.model_validate(SIZES)))
    chains = {"kind": "tensor-chain", "qkv": 4.0, "output": 4.0, "mlp": 4.0}
    chained = randomise(Block(ModelConfig.model_validate(SIZES | {"linear": chains})))
    chained.from_separate(whole)
    torch.testing.assert_close(chained(asked()), whole(asked()), **EXACT)
    without = randomise(Block(ModelConfig.model_validate(SIZES | {"mlp": "none"})))
    without.from_separate(whole)
    with torch.no_grad():
        whole.mlp.w_2.weight.zero_()
        whole.mlp.w_2.bias.zero_()
    torch.testing.assert_close(without(asked()), whole(asked()), **EXACT)
    with pytest.raises(InputError, match="a block with mlp has no weights from a block without"):
        whole.from_separate(without)


def test_positions_that_no_example_reaches_and_a_class_token_leave_nothing_behind() -> None:
    """Vectors of patches keep the positions of their patches when the class token goes."""
    whole, without = build(model_with("readout", "class-token")), build(model_with("readout", "mean"), seed=5)
    without.embedding.from_separate(whole.embedding)
    torch.testing.assert_close(without.embedding(images()), whole.embedding(images())[:, 1:], **EXACT)

    def text(rows: int) -> nn.Module:
        position = {"kind": "learned", "rows": rows, "unused": rows - 7}
        return randomise(build(model_with("position", "learned", embedding="tokens", position=position)))

    long, short = text(9), text(8)
    (tokens,) = examples(model_with("embedding", "tokens"))
    short.embedding.from_separate(long.embedding)
    torch.testing.assert_close(short.embedding(tokens), long.embedding(tokens), **EXACT)


@pytest.mark.parametrize(("given", "wanted"), [(2, 1), (1, 2), (3, 1), (0, 2), (2, 0)])
def test_patches_keep_their_positions_whatever_learned_tokens_stand_before_them(given: int, wanted: int) -> None:
    def embedding(added: int) -> nn.Module:
        readout = {"kind": "class-token", "beside": added - 1} if added else "mean"
        return randomise(build(model_with("readout", "mean", readout=readout), seed=added)).embedding

    whole, other = embedding(given), embedding(wanted)
    other.from_separate(whole)
    before, after = whole(images()), other(images())
    torch.testing.assert_close(after[:, wanted:], before[:, given:], **EXACT)
    both = min(given, wanted)
    torch.testing.assert_close(after[:, :both], before[:, :both], **EXACT)


def test_the_first_token_type_goes_into_the_positions() -> None:
    typed = model_with("embedding", "tokens", embedding={"kind": "tokens", "types": 2, "norm": True})
    plain = model_with("embedding", "tokens", embedding={"kind": "tokens", "norm": True})
    whole, without = randomise(build(typed)), randomise(build(plain))
    without.embedding.from_separate(whole.embedding)
    torch.testing.assert_close(without.embedding(*examples(typed)), whole.embedding(*examples(typed)), **EXACT)


@pytest.mark.parametrize("similarity", ["separate", "collapsed", "tied", "pairwise"])
def test_a_stacks_value_paths_become_one_with_biases_too(similarity: str) -> None:
    model = model_with("value", "stack-collapsed", similarity=similarity, bias="all", readout="mean")
    plain = randomise(build(model.model_copy(update={"value": AXES["value"].parse("separate")})))
    stack = build(model, seed=3)
    stack.from_separate(plain)
    torch.testing.assert_close(stack(images()), plain(images()), atol=1e-9, rtol=1e-9)  # products of three blocks


def test_blocks_that_become_one_become_their_mean() -> None:
    full, shared = build(model_with("order", "sequential")), build(model_with("order", "shared"), seed=4)
    shared.from_separate(full)
    mean = torch.stack([block.mlp.w_1.weight for block in full.blocks]).mean(0)
    torch.testing.assert_close(shared.blocks[0].mlp.w_1.weight, mean, **EXACT)
    for block in full.blocks[1:]:
        block.load_state_dict(full.blocks[0].state_dict())
    shared.from_separate(full)
    torch.testing.assert_close(shared(images()), full(images()), **EXACT)


@pytest.mark.parametrize("variant", [name for name in ALL_VARIANTS if name != "baseline"])
def test_every_variant_takes_the_weights_of_its_baseline_or_says_which_part_cannot(variant: str) -> None:
    config = variant_config(variant)
    assert config.baseline is not None
    reduced, whole = build(config.model), build(config.baseline, seed=2)
    try:
        reduced.from_separate(whole)
    except InputError as error:
        assert re.fullmatch(r"\w+ has no weights from \w+: .+", str(error)), error
    else:
        assert bool(reduced(*examples(config.model)).isfinite().all())


def test_weights_by_scores_of_zero_are_the_mean() -> None:
    mean, pool = build(model_with("readout", "mean")), build(model_with("readout", "sequence-pool"), seed=3)
    assert not torch.allclose(pool(images()), mean(images()), atol=1e-6)
    pool.from_separate(mean)
    torch.testing.assert_close(pool(images()), mean(images()), **EXACT)
