"""Tensor chains in closed form: factors, ranks, costs of every order of multiplication, the cheapest of them."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from minform_cli.config.axes import AXES
from minform_cli.config.axes.linear import TensorChain as Options
from minform_cli.config.presets import resolve
from minform_cli.config.tensor_chain import PLANS, Chain, Plan, balanced, rank
from minform_cli.counting.cost import forward_macs
from minform_cli.counting.count import count_config
from minform_cli.counting.form import tokens_per_step
from minform_cli.data.spec import spec_for
from minform_cli.models.parts.linear import TensorChain

ROLES = ("qkv", "output", "mlp")


def products(number: int, length: int) -> list[tuple[int, ...]]:
    """Every way to write `number` as a product of `length` factors, the largest first."""
    divisors = [k for k in range(1, number + 1) if number % k == 0]
    tuples = itertools.combinations_with_replacement(divisors[::-1], length)
    return [factors for factors in tuples if math.prod(factors) == number]


@pytest.mark.parametrize("length", [2, 3, 4])
def test_factors_are_the_product_of_least_sum_with_the_largest_first(length: int) -> None:
    for number in range(1, 401):
        found = balanced(number, length)
        assert found in products(number, length)
        assert sum(found) == min(map(sum, products(number, length)))


@pytest.mark.parametrize(
    ("number", "factors"),
    [
        (512, (32, 16)), (1365, (39, 35)), (2048, (64, 32)), (512, (8, 8, 8)), (2048, (16, 16, 8)), (64, (4, 4, 2, 2)),
        (13, (13, 1)), (1, (1, 1)),
    ],
)  # fmt: skip
def test_factors_of_usual_widths(number: int, factors: tuple[int, ...]) -> None:
    assert balanced(number, len(factors)) == factors


def numbers(ins: tuple[int, ...], outs: tuple[int, ...], rank: int) -> int:
    """Of all cores: i r o at the ends, i r r o between them."""
    sizes = [i * o for i, o in zip(ins, outs, strict=True)]
    return sum(size * rank if k in (0, len(sizes) - 1) else size * rank**2 for k, size in enumerate(sizes))


@pytest.mark.parametrize("length", [2, 3, 4])
def test_built_chains_have_the_numbers_of_their_formula(length: int) -> None:
    for dim_in, dim_out, r in ((64, 171, 3), (12, 12, 2), (7, 40, 5)):
        ins, outs = balanced(dim_in, length), balanced(dim_out, length)
        part = TensorChain(Chain(ins, outs, r), bias=True, std=1.0)
        assert sum(p.numel() for p in part.parameters()) == numbers(ins, outs, r) + dim_out
        assert part.chain.numbers == numbers(ins, outs, r)


@pytest.mark.parametrize("length", [2, 3, 4])
def test_the_rank_is_the_largest_with_room_for_the_cores_but_two_at_least(length: int) -> None:
    rng = random.Random(length)
    ranks: list[int] = []
    for _ in range(2000):
        dim_in, dim_out = rng.randint(1, 700), rng.randint(1, 700)
        ratio = rng.choice([0.005, 0.07, 0.25, 1.0, 2.5, round(rng.uniform(0.01, 1), 2)])
        ins, outs = balanced(dim_in, length), balanced(dim_out, length)
        found = rank(ins, outs, ratio)
        room = Fraction(str(ratio)) * dim_in * dim_out  # exactly, as it is written
        assert found == 2 or numbers(ins, outs, found) <= room
        assert numbers(ins, outs, found + 1) > room
        ranks.append(found)
    assert min(ranks) == 2
    assert len(set(ranks)) > 10


def test_a_rank_that_just_fits_is_not_lost_to_rounding() -> None:
    """7 x 37 + 2 = 261 numbers at the ends and 205 between: 28 x 261 + 784 x 29 = 30,044 = 58 % of 280 x 185."""
    ins, outs = (7, 5, 4, 2), (37, 5, 1, 1)
    assert Chain(ins, outs, 28).numbers == 30_044 == round(0.58 * 280 * 185)
    assert rank(ins, outs, 0.58) == 28


@pytest.mark.parametrize(
    ("dim_in", "dim_out", "ratio", "r", "weights"),
    [
        (512, 512, 0.07, 14, 17_920),
        (512, 1365, 0.005, 2, 3_616),
        (1365, 512, 0.005, 2, 3_616),
        (512, 2048, 0.005, 2, 5_120),
    ],
)
def test_chains_of_the_paper_have_its_ranks_and_numbers(
    dim_in: int, dim_out: int, ratio: float, r: int, weights: int
) -> None:
    """papers.md, section 3."""
    chain = Options(qkv=ratio).form("qkv", dim_in, dim_out)
    assert chain == Chain(balanced(dim_in, 2), balanced(dim_out, 2), r)
    assert chain.numbers == weights


@pytest.mark.parametrize("role", ROLES)
def test_a_role_without_a_ratio_has_no_chain(role: str) -> None:
    for asked in ROLES:
        options = AXES["linear"].parse({"kind": "tensor-chain", **{r: 0.5 if r == role else None for r in ROLES}})
        assert (options.form(asked, 64, 64) is not None) == (asked == role)
    assert AXES["linear"].parse("dense").form(role, 64, 64) is None


def counted_macs(chain: Chain, plan: Plan, tokens: int) -> int:
    """By torch's own counter, without a weight."""
    with torch.device("meta"):
        part = TensorChain(chain, bias=True, std=1.0)
        x = torch.empty(1, tokens, math.prod(chain.ins))
    part.plan = plan
    with FlopCounterMode(display=False) as counter:
        part(x)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("length", [2, 3, 4])
def test_costs_are_those_torch_counts_and_the_cheapest_order_really_is(length: int) -> None:
    rng = random.Random(length)
    chosen: set[str] = set()
    for _ in range(60):
        ins = balanced(rng.choice([6, 12, 40, 64, 96, 171, 512]), length)
        outs = balanced(rng.choice([6, 12, 40, 64, 96, 171, 512]), length)
        chain, tokens = Chain(ins, outs, rng.choice([2, 2, 3, 8, 14])), rng.choice([1, 2, 7, 100, 4096])
        counted = {plan: counted_macs(chain, plan, tokens) for plan in PLANS}
        assert {plan: chain.macs(plan, tokens) for plan in PLANS} == counted
        assert counted[chain.cheapest(tokens)] == min(counted.values())
        chosen.add(chain.cheapest(tokens))
    assert chosen == set(PLANS)


def test_of_equal_orders_the_first_is_taken() -> None:
    chain = Chain((4, 4), (4, 4), 2)
    assert chain.macs("first", 1) == chain.macs("last", 1) < chain.macs("matrix", 1)
    assert chain.cheapest(1) == "first"


def test_a_matrix_is_made_once_a_batch_and_multiplied_for_every_token() -> None:
    chain = Chain((32, 16), (32, 16), 14)
    assert chain.building_macs() == 14 * 512 * 512
    assert [chain.macs("matrix", n) - chain.macs("matrix", n - 1) for n in (1, 2, 9000)] == [512 * 512] * 3


def test_dense_models_have_no_difference_and_no_note() -> None:
    config = resolve("transformer-base").config
    spec = spec_for(config)
    chains = {"linear": AXES["linear"].parse({"kind": "tensor-chain", "qkv": None, "output": None, "mlp": None})}
    none = config.model_copy(update={"model": config.model.model_copy(update=chains)})
    assert count_config(none, spec)["groups"] == count_config(config, spec)["groups"]
    assert forward_macs(none, spec, 4) == 4 * forward_macs(config, spec)
    assert not [note for note in count_config(config, spec)["notes"] if "chain" in note]


def test_a_count_tells_each_size_of_chain_once_with_its_factors_rank_numbers_and_order() -> None:
    config = resolve("transformer-base", "anthe", ["train.batch_tokens=5000"]).config
    spec = spec_for(config)
    assert tokens_per_step(config, spec) == 5000
    (note,) = [note for note in count_config(config, spec)["notes"] if "chain" in note]
    assert note == (
        "tensor chains, at about 5,000 tokens a step: "
        "512 -> 512 as 32 x 16 -> 32 x 16, rank 14, 17,920 numbers, multiplied as one matrix; "
        "512 -> 1365 as 32 x 16 -> 39 x 35, rank 2, 3,616 numbers, multiplied from the first core on; "
        "1365 -> 512 as 39 x 35 -> 32 x 16, rank 2, 3,616 numbers, multiplied from the last core on"
    )
