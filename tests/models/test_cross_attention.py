"""Attention from tokens x to tokens y: every similarity and value path is the separate one with some weights set."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.attention import Attention
from tests.models.test_identities import EXACT, attention, load_in_projection, randomise
from tests.zoo import SIZES, attending, model_with


def asking() -> Tensor:
    return torch.randn(3, 4, 12, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def asked() -> Tensor:
    return torch.randn(3, 7, 12, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def real() -> Tensor:
    """Which of the asked tokens do not only fill up the batch."""
    return torch.arange(7) < torch.tensor([[7], [4], [2]])


def seen() -> Tensor:
    return real().unsqueeze(1)


def equate(part: Attention, separate: Attention) -> None:
    """Gives one of them weights with which both do the same: the separate one, or the part where that can do more."""
    try:
        part.similarity.as_separate(separate.similarity)
    except InputError:
        part.similarity.from_separate(separate.similarity)
    try:
        part.value.as_separate(separate.value, part.similarity)
    except InputError:
        part.value.from_separate(separate.value, part.similarity)


def combinations() -> list[tuple[str, str, int]]:
    """Every similarity, value path and number of heads that go together in some model."""
    found = [
        (similarity, value, heads)
        for similarity in attending("similarity")
        for value in attending("value")
        for heads in (1, 2, 3)
        if "cross-layer" not in (similarity, value)  # which are parts of several attentions: `test_cross_layer`
        and not legality.problems(
            ModelConfig.model_validate(
                SIZES
                | {axis: accepted[0] for axis, accepted in AXES["value"].get(value).requires.items()}
                | {"similarity": similarity, "value": value, "heads": heads}
            )
        )
    ]
    assert {similarity for similarity, _, _ in found} == {*attending("similarity")} - {"cross-layer"}
    assert {value for _, value, _ in found} == {*attending("value")} - {"cross-layer"}
    return found


@pytest.mark.parametrize(("similarity", "value", "heads"), combinations())
def test_attention_to_other_tokens_is_the_separate_one_with_weights_set(
    similarity: str, value: str, heads: int
) -> None:
    part = attention(similarity=similarity, value=value, heads=heads, bias="all")
    torch.manual_seed(12)
    separate = randomise(attention(heads=heads, bias="all"))
    equate(part, separate)
    as_many = asked().flip(1)
    for x, mask in ((asking(), None), (asking(), seen()), (as_many, None)):
        torch.testing.assert_close(part(x, asked(), mask), separate(x, asked(), mask), **EXACT)


def test_pairwise_attention_with_identities_is_tied_to_other_tokens_too() -> None:
    pairwise, tied = attention(similarity="pairwise"), attention(similarity="tied")
    pairwise.from_separate(tied)
    torch.testing.assert_close(pairwise(asking(), asked()), tied(asking(), asked()), **EXACT)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("similarity", "value", "heads"), combinations())
def test_attention_to_a_copy_is_attention_to_oneself(similarity: str, value: str, heads: int, causal: bool) -> None:
    """What serves in two roles is computed once where both are the same object; the outputs do not show it."""
    torch.manual_seed(3)
    module = Attention(model_with("value", value, similarity=similarity, heads=heads, bias="all"), causal=causal)
    x = asked()
    module = module.double()
    torch.testing.assert_close(module(x), module(x, x.clone()), **EXACT)


def test_separate_attention_to_other_tokens_equals_torch_multihead_attention() -> None:
    theirs = randomise(nn.MultiheadAttention(12, 3, batch_first=True))
    ours = attention(heads=3, bias="all")
    load_in_projection(ours, theirs.in_proj_weight, theirs.in_proj_bias)
    ours.value.w_o.load_state_dict(theirs.out_proj.state_dict())
    x, y = asking(), asked()
    torch.testing.assert_close(ours(x, y), theirs(x, y, y, need_weights=False)[0], **EXACT)
    expected = theirs(x, y, y, key_padding_mask=~real(), need_weights=False)[0]
    torch.testing.assert_close(ours(x, y, seen()), expected, **EXACT)


def test_causal_attention_equals_torch_multihead_attention_with_a_square_mask() -> None:
    theirs = randomise(nn.MultiheadAttention(12, 3, batch_first=True))
    torch.manual_seed(3)
    ours = Attention(ModelConfig.model_validate(SIZES | {"heads": 3, "bias": "all"}), causal=True).double()
    load_in_projection(ours, theirs.in_proj_weight, theirs.in_proj_bias)
    ours.value.w_o.load_state_dict(theirs.out_proj.state_dict())
    y = asked()
    future = nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64)
    torch.testing.assert_close(ours(y), theirs(y, y, y, attn_mask=future, need_weights=False)[0], **EXACT)
