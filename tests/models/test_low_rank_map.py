"""Maps of low rank are the dense ones whose matrix is the product of their factors, and the nearest of their rank."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config.matrix_rank import Factors
from minform_cli.config.schema import ModelConfig
from minform_cli.models.block import Block
from minform_cli.models.parts.linear import LowRankMap, absorbed, linear_map, nearest, read_map, write_map
from tests.models.test_identities import EXACT, randomise
from tests.zoo import SIZES, build, examples, model_with

WIDTHS = [(24, 24), (36, 30), (7, 40)]
EVERY = {"kind": "low-rank", "qkv": 4, "output": 3, "mlp": 5}


def filled(dim_in: int, dim_out: int, rank: int) -> LowRankMap:
    return randomise(LowRankMap(Factors(dim_in, dim_out, rank), bias=True, std=1.0))


def matrix(dim_in: int, dim_out: int) -> Tensor:
    return randomise(nn.Linear(dim_in, dim_out)).weight.detach().T


def read_rows(width: int, rows: int = 200) -> Tensor:
    """What a map may read: some directions much more than others."""
    spread = torch.randn(width, width, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    noise = torch.randn(rows, width, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return noise @ (spread * torch.logspace(0, -2, width, dtype=torch.float64))


@pytest.mark.parametrize(("dim_in", "dim_out"), WIDTHS)
def test_a_map_of_full_rank_is_the_dense_map_that_it_was_made_of(dim_in: int, dim_out: int) -> None:
    dense, part = randomise(nn.Linear(dim_in, dim_out)), filled(dim_in, dim_out, min(dim_in, dim_out))
    write_map(part, dense.weight.T, dense.bias)
    x = read_rows(dim_in, 6).view(2, 3, -1)
    torch.testing.assert_close(part(x), dense(x), **EXACT)
    torch.testing.assert_close(part.a.norm(), part.b.norm(), **EXACT)  # neither learns faster than the other


@pytest.mark.parametrize("rank", [1, 3, 6])
@pytest.mark.parametrize(("dim_in", "dim_out"), WIDTHS)
def test_nothing_of_the_rank_is_nearer_to_the_matrix(dim_in: int, dim_out: int, rank: int) -> None:
    weight, part = matrix(dim_in, dim_out), filled(dim_in, dim_out, rank)
    part.from_matrix(weight)
    lost = torch.linalg.svdvals(weight)[rank:]
    torch.testing.assert_close((part.matrix() - weight).norm(), lost.norm(), **EXACT)


@pytest.mark.parametrize("rank", [1, 3, 6])
@pytest.mark.parametrize(("dim_in", "dim_out"), WIDTHS)
def test_with_a_second_moment_the_outputs_are_nearest_by_what_the_singular_values_say(
    dim_in: int, dim_out: int, rank: int
) -> None:
    """Form 1 of the closed forms: what is lost of x W are the smallest singular values of it."""
    weight, x = matrix(dim_in, dim_out), read_rows(dim_in)
    by_numbers, by_outputs = (filled(dim_in, dim_out, rank) for _ in range(2))
    by_numbers.from_matrix(weight)
    by_outputs.moment = x.T @ x
    by_outputs.from_matrix(weight)
    lost = [float((x @ (read_map(part).weight - weight)).norm()) for part in (by_outputs, by_numbers)]
    least = float(torch.linalg.svdvals(x @ weight)[rank:].norm())
    assert lost[0] == pytest.approx(least, rel=1e-6)  # float64 through a square root of a moment of condition 1e6
    assert lost[1] > 1.01 * least
    assert set(by_outputs.state_dict()) == {"a", "b", "bias"}


def test_directions_that_nobody_reads_are_no_hindrance() -> None:
    weight, x = matrix(24, 30), read_rows(24)
    x[:, 5:] = 0
    left, right = nearest(weight, 5, x.T @ x)
    assert left.isfinite().all()
    torch.testing.assert_close(x @ left @ right, x @ weight, atol=1e-8, rtol=1e-8)  # through the least eigenvalue read
    left, right = nearest(weight, 3, torch.zeros(24, 24))
    assert (left @ right).isfinite().all()


def test_a_matrix_of_lower_rank_leaves_zeros() -> None:
    part = filled(24, 5, 8)
    part.from_matrix(matrix(24, 5))
    assert not part.a[5:].any()
    assert not part.b[:, 5:].any()


def test_what_scales_and_turns_the_input_goes_into_the_first_factor() -> None:
    part, turn = filled(24, 30, 4), matrix(24, 24)
    shift, x = torch.arange(24).double(), read_rows(24, 6).view(2, 3, -1)
    expected = part(x @ turn + shift)
    absorbed(part, turn, shift)
    torch.testing.assert_close(part(x), expected, atol=1e-9, rtol=1e-9)  # float64 through an SVD


@pytest.mark.parametrize(("axis", "kind"), [
    *(("similarity", kind) for kind in ("separate", "collapsed", "tied", "pairwise", "identity-query", "identity-key")),
    *(("value", kind) for kind in ("separate", "collapsed", "key", "kgv", "stack-collapsed")),
    *(("mlp", kind) for kind in ("gelu", "relu", "swiglu", "geglu")),
])  # fmt: skip
def test_a_model_of_low_rank_is_the_dense_model_with_its_products(axis: str, kind: str) -> None:
    model = model_with(axis, kind, bias="all", linear=EVERY)
    ours = randomise(build(model))
    dense = build(model.model_copy(update={"linear": model_with(axis, kind).linear}), seed=9)
    maps = {name: part for name, part in ours.named_modules() if isinstance(part, LowRankMap)}
    assert maps
    factors = {f"{name}.{factor}" for name in maps for factor in ("a", "b")}
    states = {name: p for name, p in ours.named_parameters() if name not in factors}
    dense.load_state_dict(states | {f"{name}.weight": part.matrix().T for name, part in maps.items()})
    torch.testing.assert_close(ours(*examples(model)), dense(*examples(model)), **EXACT)


def test_each_rank_is_of_the_maps_of_its_role_and_none_leaves_them_dense() -> None:
    def low(**ranks: float) -> set[str]:
        block = Block(model_with("value", "kgv", mlp="swiglu", linear={"kind": "low-rank", **ranks}))
        return {name for name, part in block.named_modules() if isinstance(part, LowRankMap)}

    asked = {"attention.similarity.w_q", "attention.similarity.w_k", "attention.value.gate", "attention.value.w_v"}
    assert low(qkv=4) == asked
    assert low(output=0.5) == {"attention.value.w_o"}
    assert low(mlp=0.4) == {"mlp.w_1", "mlp.w_2", "mlp.w_3"}


@pytest.mark.parametrize(("dim_in", "dim_out", "size"), [(64, 64, 3), (64, 171, 0.3), (256, 64, 0.1)])
def test_the_product_starts_with_the_variance_of_the_dense_matrix(dim_in: int, dim_out: int, size: float) -> None:
    torch.manual_seed(0)
    linear = {"kind": "low-rank", "qkv": size}
    model = ModelConfig.model_validate(SIZES | {"dim": dim_in, "heads": 1, "linear": linear})
    parts = [linear_map(model, "qkv", dim_in, dim_out, bias=True) for _ in range(60)]
    squares = [read_map(part).weight.square().mean() for part in parts]
    assert all(isinstance(part, LowRankMap) and not part.bias.any() for part in parts)
    # Products of rank 3 scatter by 25 %: of 60 of them, 3 %.
    assert float(sum(squares)) / 60 == pytest.approx(2 / (dim_in + dim_out), rel=0.1)


def test_a_dense_model_becomes_one_of_low_rank_map_by_map() -> None:
    linear = {"kind": "low-rank", "qkv": 5, "output": 5, "mlp": 7}
    whole = randomise(build(model_with("linear", "dense", bias="all")))
    part = build(model_with("linear", "dense", bias="all", linear=linear))
    part.from_separate(whole)
    for name, module in part.named_modules():
        if isinstance(module, LowRankMap):
            wanted = read_map(whole.get_submodule(name)).weight
            torch.testing.assert_close(read_map(module).bias, read_map(whole.get_submodule(name)).bias)
            lost = torch.linalg.svdvals(wanted)[len(module.a) :]
            torch.testing.assert_close((module.matrix() - wanted).norm(), lost.norm(), **EXACT)
