"""Keys and values across layers: a block that borrows attends to what the last block that lends has made."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.form import whole_form
from minform_cli.decoding.cache import CachedDecoder
from minform_cli.errors import InputError
from minform_cli.models.parts.base import for_heads, split_heads
from minform_cli.models.stack import Encoder, EncoderDecoder
from tests.zoo import PAIRS, SIZES, build, examples, filled, model_with

BOTH = {"similarity": "cross-layer", "value": "cross-layer"}
KINDS: dict[str, dict[str, Any]] = {
    "keys and values": BOTH,
    "keys alone": {"similarity": "cross-layer"},
    "values alone": {"value": "cross-layer"},
    "values of the first": {"value": {"kind": "cross-layer", "every": None}},
    "every third, one group": {
        "similarity": {"kind": "cross-layer", "every": 3, "groups": 1},
        "value": {"kind": "cross-layer", "every": 3, "groups": 1},
    },
    "keys and values by turns": {
        "similarity": {"kind": "cross-layer", "every": 3, "groups": 0.5},
        "value": {"kind": "cross-layer", "every": 2},
    },
}
DECODES: dict[str, Any] = {"decoder_depth": 4, "embedding": "tokens", "readout": "tokens", "position": "sinusoidal"}


def model_of(parts: dict[str, Any], **settings: object) -> ModelConfig:
    """A small model of four blocks with parts across them."""
    asked = {**parts, **settings}
    made = {name: AXES[name].parse(value) if name in AXES else value for name, value in asked.items()}
    model = model_with("order", "sequential", depth=4, bias="all").model_copy(update=made)
    assert not legality.problems(model), legality.problems(model)
    return model


def by_hand(network: Encoder[Any], images: Tensor, heads: int) -> Tensor:
    """What the network gives, from its maps alone: every formula written out once more."""
    x = network.embedding(images)
    keys = values = None
    for number in network.order:
        block = cast(Any, network.blocks[number])
        read = block.attention_norm(x) if block.norm_first else x
        similarity, value = block.attention.similarity, block.attention.value
        queries = split_heads(similarity.w_q(read), heads)
        if getattr(similarity, "w_k", None) is not None:
            keys = split_heads(similarity.w_k(read), getattr(similarity, "groups", heads))
        if getattr(value, "w_v", None) is not None:
            values = split_heads(value.w_v(read), getattr(value, "groups", heads))
        assert keys is not None and values is not None
        scores = queries @ for_heads(keys, heads).mT / queries.shape[-1] ** 0.5
        mixed = (scores.softmax(-1) @ for_heads(values, heads)).transpose(1, 2).flatten(2)
        x = x + value.w_o(mixed)
        x = x if block.norm_first else block.attention_norm(x)
        read = block.mlp_norm(x) if block.norm_first else x
        x = x + block.mlp.w_2(F.gelu(block.mlp.w_1(read)))
        x = x if block.norm_first else block.mlp_norm(x)
    return network.readout(x if network.final_norm is None else network.final_norm(x))


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_block_that_borrows_attends_to_what_the_last_that_lends_has_made(kind: str, norm: str) -> None:
    model = model_of(KINDS[kind], norm=norm)
    network = filled(build(model))
    (images,) = examples(model)
    torch.testing.assert_close(network(images), by_hand(network, images, model.heads), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("order", [[0, 1, 0, 1], [0, 1, 1, 0], "shared-mlp", "shared"])
def test_in_any_order_it_is_the_last_that_ran(order: Any) -> None:
    parsed = AXES["order"].parse({"kind": "listed", "list": order} if isinstance(order, list) else order)
    model = model_of(BOTH, order=parsed)
    network = filled(build(model))
    (images,) = examples(model)
    if order == "shared-mlp":  # whose blocks of attention have no MLP: only that it runs, and on whose keys
        lending = [block.attention.similarity.lends for block in network.blocks if block.attention is not None]
        assert lending == [True, False, True, False]
        assert network(images).isfinite().all()
        return
    torch.testing.assert_close(network(images), by_hand(network, images, model.heads), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decodes", [False, True])
def test_gradients_of_what_is_computed_again_are_those_of_what_is_kept(kind: str, decodes: bool) -> None:
    """Where a block keeps its input alone, it borrows again what it has borrowed, not what was lent since."""
    model = model_of(KINDS[kind], **(DECODES if decodes else {}))
    network = filled(build(model)).train()
    found = []
    for recomputes in (False, True):
        network.recomputes = recomputes
        network.zero_grad()
        network(*examples(model)).square().mean().backward()
        found.append([parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None])
    for kept, again in zip(*found, strict=True):
        torch.testing.assert_close(again, kept, atol=0, rtol=0)
    w_q = network.blocks[1].attention.similarity.w_q.weight.grad
    assert w_q is not None and w_q.abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_generation_keeps_what_is_lent_where_it_was_made_and_gives_the_same(kind: str) -> None:
    model = model_of(KINDS[kind], **DECODES)
    network = cast(EncoderDecoder, filled(build(model)))
    source, target = examples(model)
    decoder = CachedDecoder(network)
    decoder.start(source)
    steps = torch.stack([decoder.step(target[:, at]) for at in range(target.shape[1])], dim=1)
    torch.testing.assert_close(steps.flatten(0, 1), network(source, target), atol=1e-12, rtol=1e-12)
    stack = whole_form(model, PAIRS, "translate").decoder
    assert stack is not None
    of_token = sum(block.attention.kept for block in stack.runs if block.attention is not None)
    tokens = source.shape[0] * (target.shape[1] + source.shape[1])
    assert decoder.held_numbers == of_token * tokens
    decoder.reorder(torch.tensor([2, 1, 0]), torch.tensor([2, 1, 0]))
    assert decoder.held_numbers == of_token * tokens


@pytest.mark.parametrize("kind", KINDS)
def test_a_forward_of_images_that_reads_one_token_computes_the_same(kind: str) -> None:
    model = model_of(KINDS[kind])
    network = filled(build(model))
    (images,) = examples(model)
    whole = network(images)
    with torch.no_grad():
        hook = network.final_norm.register_forward_hook(lambda *_: None)  # who listens sees all tokens
        torch.testing.assert_close(network(images), whole, atol=1e-12, rtol=1e-12)
        hook.remove()


def test_blocks_that_borrow_have_no_map_of_what_they_borrow() -> None:
    network: Any = build(model_of(KINDS["values of the first"]))
    assert [block.attention.value.w_v is not None for block in network.blocks] == [True, False, False, False]
    network = build(model_of(BOTH))
    assert [block.attention.similarity.w_k is not None for block in network.blocks] == [True, False, True, False]
    assert not [name for name, _ in network.blocks[1].named_parameters() if ".w_k" in name or ".w_v" in name]


@pytest.mark.parametrize(("every", "lending"), [(1, 4), (2, 2), (3, 2), (4, 1), (None, 1)])
def test_what_it_saves_is_what_the_paper_says(every: int | None, lending: int) -> None:
    """2 N^2 for every block that borrows both: 2 N^2 L (1 - 1 / c) where c divides L."""
    parts = {axis: {"kind": "cross-layer", "every": every} for axis in BOTH}
    whole, made = (
        sum(parameter.numel() for parameter in build(model_of(each, bias="none")).parameters()) for each in ({}, parts)
    )
    assert whole - made == 2 * 12**2 * (4 - lending)


def test_keys_that_are_lent_are_not_turned_nor_merged_away() -> None:
    """What leaves a block as it is by itself changes those that borrow of it: the part says no to all of them."""
    model = model_of(BOTH)
    for block in range(4):
        own = model.at(block)
        assert isinstance(cast(Any, own.similarity).gauged(own), str)
        assert isinstance(cast(Any, own.value).gauged(own), str)
        assert isinstance(cast(Any, own.value).merged(own), str)


@pytest.mark.parametrize("axis", ["similarity", "value"])
def test_separate_maps_are_of_no_use_and_say_so(axis: str) -> None:
    part, separate = model_of({axis: "cross-layer"}), model_of({})
    with pytest.raises(InputError, match="of several blocks"):
        cast(Any, build(part)).from_separate(build(separate))
    with pytest.raises(InputError, match="of several blocks"):
        cast(Any, build(separate)).from_separate(build(part))
    again = cast(Any, build(part, seed=4))
    whole = filled(build(part))
    again.from_separate(whole)
    (images,) = examples(part)
    torch.testing.assert_close(again(images), whole(images), atol=0, rtol=0)


def test_maps_of_its_like_are_taken_over_however_they_are_stored() -> None:
    stored, dense = model_of(BOTH, linear="tensor-chain"), model_of(BOTH)
    source, made = cast(Any, build(stored)), cast(Any, build(dense))
    made.from_separate(source)
    (images,) = examples(dense)
    torch.testing.assert_close(made(images), source(images), atol=1e-10, rtol=1e-10)
    other = build(model_of({"similarity": {"kind": "cross-layer", "groups": 1}}))
    with pytest.raises(InputError, match="CrossLayer has no weights from CrossLayer"):
        cast(Any, other).from_separate(build(model_of({"similarity": "cross-layer"})))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"similarity": ["separate", "cross-layer", "separate"]}, "block 1: model.similarity 'cross-layer' uses keys"),
        ({**BOTH, "order": "macaron"}, "block 1: model.similarity 'cross-layer' uses keys of a block before it"),
        ({"value": "cross-layer", "order": [1, 0, 1]}, "block 1: model.value 'cross-layer' uses values"),
        ({"value": {"kind": "cross-layer", "groups": 5}}, "model.value 'cross-layer' has 5 groups"),
    ],
)
def test_what_has_nothing_to_borrow_is_refused(settings: dict[str, Any], message: str) -> None:
    model = ModelConfig.model_validate(SIZES | settings)
    assert legality.problems(model)[0].startswith(message), legality.problems(model)


def test_a_list_may_lend_in_some_blocks_and_have_other_parts_in_others() -> None:
    """The block that borrows takes the keys of the last with the part, not those of the standard block between."""
    parts = ["cross-layer", "cross-layer", "separate", "cross-layer"]
    network: Any = filled(build(model_of({}, similarity=parts)))
    (images,) = examples(model_of({}))
    asked: list[Tensor] = []
    for number in (0, 3):
        network.blocks[number].attention.similarity.register_forward_hook(lambda _m, _a, out: asked.append(out.keys))
    network(images)
    assert asked[0] is asked[1]
