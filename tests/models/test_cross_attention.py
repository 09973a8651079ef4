"""Attention from tokens x to tokens y: every similarity and value path is the separate one with some weights set."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.attention import Attention
from tests.models.test_identities import EXACT, attention, load_in_projection, randomise
from tests.zoo import SIZES, model_with


def asking() -> Tensor:
    return torch.randn(3, 4, 12, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def asked() -> Tensor:
    return torch.randn(3, 7, 12, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def real() -> Tensor:
    """Which of the asked tokens do not only fill up the batch."""
    return torch.arange(7) < torch.tensor([[7], [4], [2]])


def seen() -> Tensor:
    return real().unsqueeze(1)


def head_columns(heads: int) -> list[slice]:
    d = 12 // heads
    return [slice(h * d, (h + 1) * d) for h in range(heads)]


def set_map(linear: nn.Linear, weight: Tensor, bias: Tensor | None = None) -> None:
    """x W + b: torch keeps W transposed."""
    linear.weight.copy_(weight.T)
    linear.bias.copy_(torch.zeros_like(linear.bias) if bias is None else bias)


def set_separate(separate: Attention, part: Attention) -> None:
    separate.similarity.load_state_dict(part.similarity.state_dict())


def set_tied(separate: Attention, part: Attention) -> None:
    for projection in (separate.similarity.w_q, separate.similarity.w_k):
        projection.load_state_dict(part.similarity.w_q.state_dict())


def set_pairwise(separate: Attention, part: Attention) -> None:
    p = torch.block_diag(*part.similarity.p)
    w_q = part.similarity.w_q
    set_map(separate.similarity.w_q, w_q.weight.T @ p, w_q.bias @ p)
    separate.similarity.w_k.load_state_dict(w_q.state_dict())


def set_mirrored(separate: Attention, part: Attention) -> None:
    set_map(separate.similarity.w_q, torch.block_diag(*part.similarity.m.mirrored()))
    set_map(separate.similarity.w_k, torch.eye(12))


def set_cholesky(separate: Attention, part: Attention) -> None:
    for projection in (separate.similarity.w_q, separate.similarity.w_k):
        set_map(projection, torch.block_diag(*part.similarity.t.lower()))


def set_identity_query(separate: Attention, part: Attention) -> None:
    set_map(separate.similarity.w_q, torch.eye(12))
    separate.similarity.w_k.load_state_dict(part.similarity.w_k.state_dict())


def set_identity_key(separate: Attention, part: Attention) -> None:
    separate.similarity.w_q.load_state_dict(part.similarity.w_q.state_dict())
    set_map(separate.similarity.w_k, torch.eye(12))


def set_collapsed(separate: Attention, part: Attention) -> None:
    """The other way round: a full product is more than d columns a head can make."""
    w_q, w_k = separate.similarity.w_q, separate.similarity.w_k
    for h, rows in enumerate(head_columns(part.similarity.heads)):
        part.similarity.w_qk.weight[h * 12 : (h + 1) * 12] = w_k.weight[rows].T @ w_q.weight[rows]
        part.similarity.w_qk.bias[h * 12 : (h + 1) * 12] = w_q.bias[rows] @ w_k.weight[rows]


def set_separate_values(separate: Attention, part: Attention) -> None:
    separate.value.load_state_dict(part.value.state_dict())


def set_collapsed_values(separate: Attention, part: Attention) -> None:
    """The other way round, as for the similarity."""
    w_v, w_o = separate.value.w_v, separate.value.w_o
    for h, rows in enumerate(head_columns(part.value.heads)):
        part.value.w_vo.weight[h * 12 : (h + 1) * 12] = w_o.weight[:, rows] @ w_v.weight[rows]
    part.value.b_vo.copy_(w_o.weight @ w_v.bias + w_o.bias)


def set_omitted(separate: Attention, part: Attention) -> None:
    set_map(separate.value.w_v, torch.eye(12))
    set_map(separate.value.w_o, torch.eye(12))


def set_key(separate: Attention, part: Attention) -> None:
    """After the similarity: the values are its keys."""
    separate.value.w_v.load_state_dict(separate.similarity.w_k.state_dict())
    separate.value.w_o.load_state_dict(part.value.w_o.state_dict())


def set_kgv(separate: Attention, part: Attention) -> None:
    """A gate without weights and biases is one half everywhere."""
    set_map(part.value.gate, torch.zeros(12, 12))
    set_map(separate.value.w_v, part.value.w_v.weight.T / 2, part.value.w_v.bias)
    separate.value.w_o.load_state_dict(part.value.w_o.state_dict())


Setting = Callable[[Attention, Attention], None]

SIMILARITY_SETTINGS: dict[str, Setting] = {
    "separate": set_separate,
    "collapsed": set_collapsed,
    "tied": set_tied,
    "mirrored": set_mirrored,
    "cholesky": set_cholesky,
    "pairwise": set_pairwise,
    "identity-query": set_identity_query,
    "identity-key": set_identity_key,
}
VALUE_SETTINGS: dict[str, Setting] = {
    "separate": set_separate_values,
    "collapsed": set_collapsed_values,
    "omitted": set_omitted,
    "stack-collapsed": set_omitted,  # its W_VO stands behind the stack
    "key": set_key,
    "kgv": set_kgv,
}


def combinations() -> list[tuple[str, str, int]]:
    """Every similarity, value path and number of heads that go together in some model."""
    found = [
        (similarity, value, heads)
        for similarity in AXES["similarity"].names()
        for value in AXES["value"].names()
        for heads in (1, 2, 3)
        if not legality.problems(
            ModelConfig.model_validate(
                SIZES
                | {axis: accepted[0] for axis, accepted in AXES["value"].get(value).requires.items()}
                | {"similarity": similarity, "value": value, "heads": heads}
            )
        )
    ]
    assert {similarity for similarity, _, _ in found} == set(SIMILARITY_SETTINGS)
    assert {value for _, value, _ in found} == set(VALUE_SETTINGS)
    return found


@pytest.mark.parametrize(("similarity", "value", "heads"), combinations())
def test_attention_to_other_tokens_is_the_separate_one_with_weights_set(
    similarity: str, value: str, heads: int
) -> None:
    part = attention(similarity=similarity, value=value, heads=heads, bias="all")
    torch.manual_seed(12)
    separate = randomise(attention(heads=heads, bias="all"))
    with torch.no_grad():
        SIMILARITY_SETTINGS[similarity](separate, part)
        VALUE_SETTINGS[value](separate, part)
    as_many = asked().flip(1)
    for x, mask in ((asking(), None), (asking(), seen()), (as_many, None)):
        torch.testing.assert_close(part(x, asked(), mask), separate(x, asked(), mask), **EXACT)


def test_pairwise_attention_with_identities_is_tied_to_other_tokens_too() -> None:
    pairwise, tied = attention(similarity="pairwise"), attention(similarity="tied")
    tied.value.load_state_dict(pairwise.value.state_dict())
    tied.similarity.w_q.load_state_dict(pairwise.similarity.w_q.state_dict())
    with torch.no_grad():
        pairwise.similarity.p.copy_(torch.eye(6).expand(2, 6, 6))
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
