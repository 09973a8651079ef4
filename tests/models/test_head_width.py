"""Heads of another width than N / H: as the formulas written out, converted, decoded, reduced and counted so."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.cost import cached_numbers
from minform_cli.counting.count import count_config
from minform_cli.counting.form import counted_form
from minform_cli.data.spec import spec_for
from minform_cli.decoding import CachedDecoder
from minform_cli.errors import InputError
from minform_cli.models.parts.attention import Attention
from minform_cli.models.stack import EncoderDecoder
from tests.decoding.test_cache import last_outputs, targets
from tests.decoding.translators import FIELDS, LENGTH, ROUNDING, pairs, sources
from tests.models.test_cross_attention import asked, asking, seen
from tests.models.test_identities import EXACT, attention, randomise
from tests.reducing.test_exact import reduced
from tests.zoo import SIZES, build, examples, options, run_config, spec_of

SHAPES = [(5, 3), (2, 3), (2, 12)]
"""Heads and their width: more and fewer columns than the 12 of a token, and as many in each."""
ANY_WIDTH = {
    axis: [kind for kind in AXES[axis].names() if cast(Any, AXES[axis].get(kind)).any_width and kind != "none"]
    for axis in ("similarity", "value")
}


def made(similarity: str, value: str, shape: tuple[int, int], **settings: object) -> dict[str, object]:
    """Settings of a model whose attention has those parts and that shape."""
    kinds = {"similarity": similarity, "value": value}
    parts: dict[str, object] = {axis: options(axis, kind) for axis, kind in kinds.items()}
    for axis, kind in kinds.items():
        if kind == "grouped":
            parts[axis] = {"kind": kind, "groups": 1}
    return {"heads": shape[0], "head_width": shape[1], "bias": "all"} | parts | settings


def combinations() -> list[tuple[str, str, tuple[int, int]]]:
    """Every pair of parts that can have such heads and go together, in every shape."""
    found = [(s, v, shape) for s in ANY_WIDTH["similarity"] for v in ANY_WIDTH["value"] for shape in SHAPES]
    return [
        each for each in found if not legality.problems(ModelConfig.model_validate(SIZES | {"depth": 1} | made(*each)))
    ]


def in_full(part: Attention, x: Tensor, y: Tensor, shape: tuple[int, int]) -> Tensor:
    """Separate maps, head by head."""
    heads, width = shape
    q, k, v = part.similarity.w_q(x), part.similarity.w_k(y), part.value.w_v(y)
    mixed = []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        scores = q[..., own] @ k[..., own].mT / width**0.5
        mixed.append(scores.softmax(-1) @ v[..., own])
    return torch.cat(mixed, -1) @ part.value.w_o.weight.T + part.value.w_o.bias


@pytest.mark.parametrize("shape", SHAPES)
def test_heads_have_columns_of_their_own_width(shape: tuple[int, int]) -> None:
    part: Any = randomise(attention(**made("separate", "separate", shape)))
    assert part.similarity.w_q.weight.shape == (shape[0] * shape[1], 12)
    assert part.value.w_o.weight.shape == (12, shape[0] * shape[1])
    torch.testing.assert_close(part(asking(), asked()), in_full(part, asking(), asked(), shape), **EXACT)


@pytest.mark.parametrize(("similarity", "value", "shape"), combinations())
def test_what_separate_maps_can_do_is_taken_over_from_them(similarity: str, value: str, shape: tuple[int, int]) -> None:
    if "cross-layer" in (similarity, value):
        pytest.skip("it is made of several blocks")
    part = randomise(attention(**made(similarity, value, shape)))
    separate = randomise(attention(**made("separate", "separate", shape)))
    other = randomise(attention(**made(similarity, value, shape)))
    part.similarity.as_separate(separate.similarity)
    part.value.as_separate(separate.value, part.similarity)
    torch.testing.assert_close(separate(asking(), asked(), seen()), part(asking(), asked(), seen()), **EXACT)
    other.from_separate(separate)
    torch.testing.assert_close(other(asking(), asked(), seen()), part(asking(), asked(), seen()), **EXACT)


@pytest.mark.parametrize("shape", SHAPES)
def test_low_rank_loses_nothing_of_separate_maps(shape: tuple[int, int]) -> None:
    separate = randomise(attention(**made("separate", "separate", shape)))
    for pivoted in (False, True):
        both = {axis: {"kind": "low-rank", "pivoted": pivoted} for axis in ("similarity", "value")}
        part = attention(**(made("separate", "separate", shape) | both))
        part.from_separate(separate)
        torch.testing.assert_close(part(asking(), asked()), separate(asking(), asked()), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(("similarity", "value", "shape"), combinations())
def test_generation_gives_the_same_and_keeps_what_is_counted(
    similarity: str, value: str, shape: tuple[int, int]
) -> None:
    model = ModelConfig.model_validate(SIZES | FIELDS | made(similarity, value, shape))
    network = randomise(build(model, spec=pairs()))
    assert isinstance(network, EncoderDecoder)
    (source, real), target = sources(), targets()
    decoder = CachedDecoder(network)
    decoder.start(source, real)
    each = cached_numbers(counted_form(model, spec_of(model), "translate"))
    assert each is not None and decoder.held_numbers == source.numel() * each
    for step in range(LENGTH):
        outputs = decoder.step(target[:, step])
        wanted = last_outputs(network, source, real, target[:, : step + 1])
        torch.testing.assert_close(outputs, wanted, **(ROUNDING | {"atol": 1e-11}))


@pytest.mark.parametrize(("similarity", "value", "shape"), combinations())
def test_exact_reductions_keep_the_outputs(similarity: str, value: str, shape: tuple[int, int]) -> None:
    model = ModelConfig.model_validate(SIZES | made(similarity, value, shape))
    gone = sum(each.numbers for each in reduced(run_config(model), spec_of(model), examples(model)).reductions)
    if (similarity, value) == ("separate", "separate"):  # d^2 of every head of keys and of values go, and b_K and b_V
        heads, width = shape
        assert gone >= 3 * (2 * heads * width**2 + 2 * heads * width)


def test_wide_attention_is_one_layer_with_the_heads_of_all() -> None:
    """arXiv 2210.00640: as many numbers of attention as six layers have, and one MLP."""
    one, six = (
        resolve("mnist", settings=settings).config
        for settings in (["model.depth=1", "model.heads=24", "model.head_width=16"], [])
    )
    groups, whole = (count_config(config, spec_for(config))["groups"] for config in (one, six))
    assert groups["query_key"] == whole["query_key"] == 2 * 64 * 384 + 384
    assert groups["value_output"] == 2 * 64 * 384 + 384 + 64
    assert groups["mlp"] == whole["mlp"] // 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"value": "omitted", "head_width": 4},
            "model.value 'omitted' has heads that are model.dim 12 wide together, not 2 x 4 = 8; accepted: no "
            "model.head_width, or for model.value: separate, key, low-rank, none, grouped, cross-layer",
        ),
        (
            {"similarity": ["separate", "mirrored", "separate"], "head_width": 4},
            "block 1: model.similarity 'mirrored' has heads that are model.dim 12 wide together",
        ),
        ({"head_width": 13}, "model.head_width 13 is above model.dim 12"),
        (
            {"heads": 5},
            "model.heads 5 does not divide model.dim 12; accepted: 1, 2, 3, 4, 6, 12, or a model.head_width",
        ),
        (
            {"similarity": {"kind": "low-rank", "rank": 5}, "head_width": 4},
            "has a rank of 5, and a head has 4 columns (model.head_width); accepted: 1 to 4",
        ),
    ],
)
def test_what_cannot_have_such_heads_says_so(settings: dict[str, Any], message: str) -> None:
    (problem,) = legality.problems(ModelConfig.model_validate(SIZES | settings))
    assert problem.startswith(message) or message in problem


def test_the_usual_width_is_the_same_model() -> None:
    usual = ModelConfig.model_validate(SIZES)
    assert ModelConfig.model_validate(SIZES | {"head_width": 6}) == usual
    assert "head_width" not in usual.model_dump()
    wide = ModelConfig.model_validate(SIZES | {"head_width": 4})
    assert ModelConfig.model_validate(wide.model_dump(mode="json")) == wide != usual
    every = ModelConfig.model_validate(SIZES | {"head_width": 6, "value": "omitted"})
    assert not legality.problems(every)


def test_a_map_that_is_another_size_is_not_taken_over() -> None:
    source = attention(**made("separate", "separate", (2, 3)))
    with pytest.raises((InputError, RuntimeError)):
        attention(**made("separate", "separate", (5, 3))).from_separate(source)
