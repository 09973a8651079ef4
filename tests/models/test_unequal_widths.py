"""Attention whose values are wider or narrower than its keys is that of torch's function, masks and gradients too."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from minform_cli.models.parts.attention import Attention
from tests.models.test_identities import EXACT, randomise
from tests.zoo import model_with

LOW = {"kind": "low-rank", "rank": 3}


@pytest.mark.parametrize("mask", ["none", "seen", "causal"])
def test_unequal_widths_give_what_torch_gives(mask: str) -> None:
    part = randomise(Attention(model_with("similarity", "low-rank", similarity=LOW), causal=mask == "causal"))
    x = torch.randn(2, 7, 12, dtype=torch.float64, requires_grad=True)
    seen = torch.ones(2, 1, 7, dtype=torch.bool)
    seen[0, :, 4:] = False
    given = part(x, None, seen if mask == "seen" else None)
    queries, keys = part.similarity(x, x)
    values = part.value.values(x, keys)
    assert queries.shape[-1] != values.shape[-1]
    mixed = F.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=seen.unsqueeze(1) if mask == "seen" else None,
        is_causal=mask == "causal",
        scale=part.scale,
    )
    expected = part.value.merge(mixed)
    torch.testing.assert_close(given, expected, **EXACT)
    gradients = [torch.autograd.grad(each.square().sum(), x, retain_graph=True)[0] for each in (given, expected)]
    torch.testing.assert_close(*gradients, **EXACT)


def test_dropout_falls_on_the_weights_of_attention() -> None:
    part = randomise(Attention(model_with("similarity", "low-rank", similarity=LOW, dropout=0.5)))
    x = torch.randn(2, 7, 12, dtype=torch.float64)
    still = part(x)
    torch.testing.assert_close(part(x), still, rtol=0, atol=0)
    part.train()
    torch.manual_seed(0)
    drawn = torch.stack([part(x) for _ in range(4000)])
    assert (drawn[0] != drawn[1]).any()
    # Of 4,000 draws the mean is off by a few hundredths of their spread.
    assert float((drawn.mean(0) - still).abs().max()) < 0.1 * float(drawn.std(0).max())
