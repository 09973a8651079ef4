"""Tensor chains are the dense maps whose matrix is the sum of Kronecker products, however they are multiplied."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.config.tensor_chain import PLANS, Chain, Plan, balanced, rank
from minform_cli.models.build import build_model
from minform_cli.models.parts.linear import TensorChain, linear_map, plan_chains, write_map
from tests.models.test_identities import EXACT, randomise
from tests.zoo import SIZES, build, examples, model_with, run_config, spec_of

WIDTHS = [(24, 24), (36, 30), (30, 16), (7, 12), (16, 1)]
"""Square and other, prime, one; all factors are used, in different orders."""


def chain_of(dim_in: int, dim_out: int, length: int, rank: int = 3) -> Chain:
    return Chain(balanced(dim_in, length), balanced(dim_out, length), rank)


def filled(chain: Chain, *, bias: bool = True) -> TensorChain:
    return randomise(TensorChain(chain, bias=bias, std=1.0))


def kronecker(part: TensorChain) -> Tensor:
    """The definition: over all ranks, the sum of the Kronecker products of what the cores hold for them."""
    inner = len(part.cores) - 1
    total = torch.zeros(math.prod(part.chain.ins), math.prod(part.chain.outs), dtype=torch.float64)
    for ranks in itertools.product(range(part.chain.rank), repeat=inner):
        pieces = [core[:, left, right] for core, left, right in zip(part.cores, (0, *ranks), (*ranks, 0), strict=True)]
        total += functools.reduce(torch.kron, pieces)
    return total


def full_rank(dim_in: int, dim_out: int, length: int) -> int:
    """The largest rank between two neighbours that any matrix can need."""
    sizes = [i * o for i, o in zip(balanced(dim_in, length), balanced(dim_out, length), strict=True)]
    return max(min(math.prod(sizes[:k]), math.prod(sizes[k:])) for k in range(1, length))


def tokens(width: int) -> Tensor:
    return torch.randn(2, 5, width, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("length", [2, 3, 4])
@pytest.mark.parametrize(("dim_in", "dim_out"), WIDTHS)
def test_every_order_of_multiplication_is_the_sum_of_kronecker_products(
    dim_in: int, dim_out: int, length: int, plan: Plan
) -> None:
    part = filled(chain_of(dim_in, dim_out, length))
    part.plan = plan
    x = tokens(dim_in)
    torch.testing.assert_close(part.matrix(), kronecker(part), **EXACT)
    torch.testing.assert_close(part(x), x @ kronecker(part) + part.bias, **EXACT)
    part.bias = None
    torch.testing.assert_close(part(x), x @ kronecker(part), **EXACT)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("length", [2, 3, 4])
@pytest.mark.parametrize(("dim_in", "dim_out"), WIDTHS)
def test_a_chain_of_full_rank_is_the_dense_map_that_it_was_made_of(
    dim_in: int, dim_out: int, length: int, plan: Plan
) -> None:
    dense = randomise(nn.Linear(dim_in, dim_out))
    part = filled(chain_of(dim_in, dim_out, length, full_rank(dim_in, dim_out, length)))
    write_map(part, dense.weight.T, dense.bias)
    part.plan = plan
    torch.testing.assert_close(part(tokens(dim_in)), dense(tokens(dim_in)), **EXACT)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_a_chain_of_two_cores_is_the_nearest_of_its_rank(rank: int) -> None:
    """Eckart and Young: the error is what is left of the singular values of the matrix, its factors paired."""
    weight = randomise(nn.Linear(36, 30)).weight.detach().T
    part = filled(chain_of(36, 30, 2, rank))
    part.from_matrix(weight)
    (i_1, i_2), (o_1, o_2) = part.chain.ins, part.chain.outs
    paired = weight.reshape(i_1, i_2, o_1, o_2).permute(0, 2, 1, 3).reshape(i_1 * o_1, i_2 * o_2)
    left_out = torch.linalg.svdvals(paired)[rank:]
    torch.testing.assert_close((part.matrix() - weight).norm(), left_out.norm(), **EXACT)
    assert part.cores[0].detach().norm().item() == pytest.approx(part.cores[1].detach().norm().item())


@pytest.mark.parametrize("length", [3, 4])
def test_a_longer_chain_finds_a_matrix_that_chains_of_its_rank_make(length: int) -> None:
    weight = filled(chain_of(36, 30, length)).matrix().detach()
    part = filled(chain_of(36, 30, length), bias=False)
    part.from_matrix(weight)
    torch.testing.assert_close(part.matrix(), weight, **EXACT)


@pytest.mark.parametrize("length", [2, 3, 4])
def test_gradients_do_not_depend_on_the_order_of_multiplication(length: int) -> None:
    part = filled(chain_of(36, 30, length))
    weights = torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found: dict[str, list[Tensor]] = {}
    for plan in PLANS:
        part.plan = plan
        x = tokens(36).requires_grad_()
        found[plan] = list(torch.autograd.grad((part(x) * weights).sum(), [x, *part.parameters()]))
    for plan in PLANS[1:]:
        for ours, first in zip(found[plan], found["matrix"], strict=True):
            torch.testing.assert_close(ours, first, **EXACT)
    assert all(bool((gradient != 0).all()) for gradient in found["matrix"])


@pytest.mark.parametrize(("axis", "kind"), [
    *(("similarity", kind) for kind in ("separate", "collapsed", "tied", "pairwise", "identity-query", "identity-key")),
    *(("value", kind) for kind in ("separate", "collapsed", "key", "kgv", "stack-collapsed")),
    *(("mlp", kind) for kind in ("gelu", "relu", "swiglu", "geglu")),
])  # fmt: skip
@pytest.mark.parametrize("length", [2, 3])
def test_a_model_of_chains_is_the_dense_model_with_their_matrices(axis: str, kind: str, length: int) -> None:
    ratios = {"qkv": 0.8, "output": 0.7, "mlp": 0.6}
    model = model_with(axis, kind, bias="all", linear={"kind": "tensor-chain", "length": length, **ratios})
    ours = randomise(build(model))
    dense = build(model.model_copy(update={"linear": model_with(axis, kind).linear}), seed=9)
    states = {name: p for name, p in ours.named_parameters() if ".cores." not in name}
    chains = {name: part for name, part in ours.named_modules() if isinstance(part, TensorChain)}
    assert chains
    dense.load_state_dict(states | {f"{name}.weight": part.matrix().T for name, part in chains.items()})
    for plan in PLANS:
        for part in chains.values():
            part.plan = plan
        torch.testing.assert_close(ours(*examples(model)), dense(*examples(model)), **EXACT)


def chained_maps(**ratios: float | None) -> set[str]:
    """Names, within a block, of the maps that are chains under these ratios, and of no other."""
    linear = {"kind": "tensor-chain", **dict.fromkeys(("qkv", "output", "mlp")), **ratios}
    block = build(model_with("value", "kgv", mlp="swiglu", linear=linear)).blocks[0]
    dense = {name for name, part in block.named_modules() if isinstance(part, nn.Linear)}
    chains = {name for name, part in block.named_modules() if isinstance(part, TensorChain)}
    assert len(dense | chains) == len(dense) + len(chains) == 8
    return chains


def test_each_ratio_is_of_the_maps_of_its_role_and_none_leaves_them_dense() -> None:
    asked = {"attention.similarity.w_q", "attention.similarity.w_k", "attention.value.gate", "attention.value.w_v"}
    gated = {"mlp.w_1", "mlp.w_2", "mlp.w_3"}
    assert chained_maps(qkv=0.5) == asked
    assert chained_maps(output=0.5) == {"attention.value.w_o"}
    assert chained_maps(mlp=0.5) == gated
    assert chained_maps(qkv=0.5, mlp=0.1) == asked | gated


def test_patches_poolers_and_heads_stay_dense() -> None:
    linear = {"kind": "tensor-chain", "qkv": 0.1, "output": 0.1, "mlp": 0.1}
    model = model_with("readout", "pooler", linear=linear)
    module = build(model)
    chains = {name for name, part in module.named_modules() if isinstance(part, TensorChain)}
    assert chains
    assert all(name.startswith("blocks.") for name in chains)
    assert isinstance(module.readout.pooler, nn.Linear)


@pytest.mark.parametrize("length", [2, 3, 4])
@pytest.mark.parametrize(("dim_in", "dim_out", "ratio"), [(64, 64, 0.2), (64, 171, 0.07), (256, 64, 0.005)])
def test_the_matrix_of_a_chain_starts_with_the_variance_of_the_dense_one(
    dim_in: int, dim_out: int, ratio: float, length: int
) -> None:
    torch.manual_seed(0)
    ins, outs = balanced(dim_in, length), balanced(dim_out, length)
    settings = {"dim": dim_in, "heads": 1, "linear": {"kind": "tensor-chain", "length": length, "qkv": ratio}}
    model = ModelConfig.model_validate(settings)
    squares: list[float] = []
    for _ in range(400):
        part = linear_map(model, "qkv", dim_in, dim_out, bias=True)
        assert isinstance(part, TensorChain)
        assert part.chain == Chain(ins, outs, rank(ins, outs, ratio))
        assert not part.bias.any()
        squares.append(float(part.matrix().detach().square().mean()))
    # Of 400 matrices whose mean squares scatter by up to 60 % (small cores of rank 2): 3 % of the variance.
    assert sum(squares) / 400 == pytest.approx(2 / (dim_in + dim_out), rel=0.1)


def test_the_variance_of_a_chain_is_the_one_that_is_asked_for() -> None:
    torch.manual_seed(0)
    found = [
        TensorChain(chain_of(48, 48, 3, 6), bias=False, std=0.3).matrix().detach().square().mean() for _ in range(400)
    ]
    assert float(sum(found)) / 400 == pytest.approx(0.09, rel=0.05)


def test_a_built_model_has_the_cheapest_order_for_the_tokens_of_a_training_step() -> None:
    linear = {"kind": "tensor-chain", "qkv": 0.5, "mlp": 0.01}
    model = model_with("linear", "dense", linear=linear, dim=64, heads=2)
    config = run_config(model)
    plans: dict[int, set[str]] = {}
    for batch in (1, 1000):
        train = config.train.model_copy(update={"batch_size": batch})
        built = build_model(config.model_copy(update={"train": train}), spec_of(model))
        parts = [part for part in built.modules() if isinstance(part, TensorChain)]
        assert all(part.plan == part.chain.cheapest(batch * 4) for part in parts)  # 4 patches an image
        plans[batch] = {part.plan for part in parts}
    assert plans[1] != plans[1000]
    assert "matrix" in plans[1000]


def test_planning_reaches_every_chain_and_changes_no_number() -> None:
    model = ModelConfig.model_validate(SIZES | {"dim": 64, "linear": {"kind": "tensor-chain", "qkv": 0.9}})
    module = build(model)
    parts = [part for part in module.modules() if isinstance(part, TensorChain)]
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    outputs = []
    for count in (1, 10**6):
        plan_chains(module, count)
        assert all(part.plan == part.chain.cheapest(count) for part in parts)
        outputs.append(module(*examples(model)))
    torch.testing.assert_close(outputs[0], outputs[1], **EXACT)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
