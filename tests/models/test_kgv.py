"""KgV attention and the gated MLP are Anthe's formulas, head by head and token by token, dense and as chains."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.attention import Attention
from minform_cli.models.parts.mlp import MLPS
from tests.models.test_cross_attention import asked, asking, real, seen
from tests.models.test_identities import EXACT, randomise
from tests.zoo import SIZES

KGV = {"similarity": "identity-key", "value": "kgv", "bias": "all"}
CHAINS = {"kind": "tensor-chain", "length": 2, "qkv": 0.5, "output": 0.9, "mlp": 0.4}
LINEARS = ["dense", CHAINS, CHAINS | {"length": 3}]


def model(**settings: object) -> ModelConfig:
    return ModelConfig.model_validate(SIZES | KGV | {"heads": 3} | settings)


def map_of(part: nn.Module) -> tuple[Tensor, Tensor]:
    """W (I, O) and b of x W + b, however W is stored: two cores are put together number by number."""
    if isinstance(part, nn.Linear):
        return part.weight.T, part.bias
    if len(part.cores) == 3:
        return torch.einsum("aqrx,brsy,cstz->abcxyz", *part.cores).flatten(3).flatten(0, 2), part.bias
    first, second = part.cores
    (i1, _, r, o1), (i2, _, _, o2) = first.shape, second.shape
    w = torch.zeros(i1 * i2, o1 * o2, dtype=torch.float64)
    for rank in range(r):
        w += torch.kron(first[:, 0, rank], second[:, rank, 0])
    return w, part.bias


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def literal(part: Attention, x: Tensor, y: Tensor, may_see: Tensor, heads: int) -> Tensor:
    """papers.md, section 3: V' = C(v * sigmoid(A k)), Q' = B q, K' = k, all at full width; then head by head."""
    (a, a0), (b, b0), (c, c0), (w_o, b_o) = map(
        map_of, (part.value.gate, part.similarity.w_q, part.value.w_v, part.value.w_o)
    )
    d = x.shape[2] // heads
    out = torch.zeros_like(x)
    for example in range(len(x)):
        q, k, v = x[example], y[example], y[example]
        values = (v * sigmoid(k @ a + a0)) @ c + c0
        queries = q @ b + b0
        for t in range(len(q)):
            joined = []
            for h in range(heads):
                columns = slice(h * d, (h + 1) * d)
                allowed = may_see[example, t].nonzero().squeeze(1)
                weights = torch.exp(k[allowed][:, columns] @ queries[t, columns] / math.sqrt(d))
                joined.append((weights / weights.sum()) @ values[allowed][:, columns])
            out[example, t] = torch.cat(joined) @ w_o + b_o
    return out


@pytest.mark.parametrize("linear", LINEARS, ids=str)
@pytest.mark.parametrize("heads", [1, 3])
def test_kgv_attention_is_the_papers_formulas(heads: int, linear: object) -> None:
    part = randomise(Attention(model(heads=heads, linear=linear)))
    x, y = asking(), asked()
    with torch.no_grad():
        everything = torch.ones(3, 7, 7, dtype=torch.bool)
        torch.testing.assert_close(part(y), literal(part, y, y, everything, heads), **EXACT)
        torch.testing.assert_close(part(x, y), literal(part, x, y, everything[:, :4], heads), **EXACT)
        masked = real().unsqueeze(1).expand(3, 4, 7)
        torch.testing.assert_close(part(x, y, seen()), literal(part, x, y, masked, heads), **EXACT)
        part.causal = True
        torch.testing.assert_close(part(y), literal(part, y, y, everything.tril(), heads), **EXACT)


@pytest.mark.parametrize("linear", LINEARS, ids=str)
def test_kept_keys_and_values_give_the_same_attention(linear: object) -> None:
    part = randomise(Attention(model(linear=linear)))
    kept = part.keep(asked())
    torch.testing.assert_close(part.over(asking(), kept), part(asking(), asked()), **EXACT)
    torch.testing.assert_close(part.over(asking(), kept, seen()), part(asking(), asked(), seen()), **EXACT)


def test_the_keys_are_the_tokens_themselves_and_take_no_numbers() -> None:
    part = randomise(Attention(model()))
    assert torch.equal(part.keep(asked()).keys.transpose(1, 2).flatten(2), asked())
    assert {name for name, _ in part.named_parameters()} == {
        f"{place}.{tensor}"
        for place in ("similarity.w_q", "value.gate", "value.w_v", "value.w_o")
        for tensor in ("weight", "bias")
    }
    standard = Attention(ModelConfig.model_validate(SIZES | {"heads": 3, "bias": "all"}))
    assert sum(p.numel() for p in part.parameters()) == sum(p.numel() for p in standard.parameters())


@pytest.mark.parametrize("linear", LINEARS, ids=str)
@pytest.mark.parametrize("multiple", [2, 3.5])
def test_the_gated_mlp_is_its_formula(multiple: float, linear: object) -> None:
    settings = model(mlp="swiglu", mlp_multiple=multiple, linear=linear)
    part = randomise(MLPS.get("swiglu")(settings))
    (w_1, b_1), (w_2, b_2), (w_3, b_3) = (map_of(getattr(part, name)) for name in ("w_1", "w_2", "w_3"))
    assert w_1.shape == w_3.shape == w_2.T.shape == (12, int(2 * round(12 * multiple) / 3))
    x = asked()
    gate = x @ w_1 + b_1
    with torch.no_grad():
        torch.testing.assert_close(part(x), (gate * sigmoid(gate) * (x @ w_3 + b_3)) @ w_2 + b_2, **EXACT)
