"""Maps of block-diagonal factors are the dense ones with their product, and none of the kind is nearer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config.axes import AXES
from minform_cli.config.block_factors import BlockFactors, block_factors
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.linear import MonarchMap, TensorChain, linear_map, write_map
from tests.models.test_identities import EXACT, randomise
from tests.zoo import SIZES, build, examples, model_with

SHAPES = [(24, 24, 2, 3), (24, 36, 4, 2), (36, 24, 3, 1), (16, 16, 4, 1)]
"""Widths in and out, blocks, rank of each."""


def filled(dim_in: int, dim_out: int, blocks: int, rank: int) -> MonarchMap:
    return randomise(MonarchMap(BlockFactors(dim_in, dim_out, blocks, rank), bias=True, std=1.0))


def tokens(width: int) -> Tensor:
    return torch.randn(2, 5, width, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def dense_of(dim_in: int, dim_out: int) -> Tensor:
    return randomise(nn.Linear(dim_in, dim_out)).weight.detach().T


def written_out(part: MonarchMap) -> Tensor:
    """The definition: a block-diagonal matrix, a permutation and another block-diagonal matrix, multiplied."""
    left, right = torch.block_diag(*part.left), torch.block_diag(*part.right)
    size = len(right)
    permutation = torch.zeros(size, size, dtype=torch.float64)
    places = torch.arange(size).view(part.blocks, part.blocks, part.rank)  # (of L, of R, q)
    for k in range(part.blocks):
        for r in range(part.blocks):
            for q in range(part.rank):
                permutation[places[k, r, q], r * part.blocks * part.rank + k * part.rank + q] = 1
    return left @ permutation @ right


@pytest.mark.parametrize(("dim_in", "dim_out", "blocks", "rank"), SHAPES)
def test_it_is_two_block_diagonal_matrices_with_a_permutation_between(
    dim_in: int, dim_out: int, blocks: int, rank: int
) -> None:
    part = filled(dim_in, dim_out, blocks, rank)
    torch.testing.assert_close(part.matrix(), written_out(part), **EXACT)
    x = tokens(dim_in)
    torch.testing.assert_close(part(x), x @ written_out(part) + part.bias, **EXACT)


@pytest.mark.parametrize(("dim_in", "dim_out", "blocks", "rank"), SHAPES)
def test_no_block_of_the_rank_is_nearer_to_that_of_the_matrix(
    dim_in: int, dim_out: int, blocks: int, rank: int
) -> None:
    weight, part = dense_of(dim_in, dim_out), filled(dim_in, dim_out, blocks, rank)
    part.from_matrix(weight)
    cut = weight.unflatten(0, (blocks, -1)).unflatten(2, (blocks, -1)).transpose(1, 2)
    lost = torch.linalg.svdvals(cut)[..., rank:]
    torch.testing.assert_close((part.matrix() - weight).norm(), lost.norm(), **EXACT)


def test_blocks_of_full_rank_are_the_dense_map_that_they_were_made_of() -> None:
    dense, part = randomise(nn.Linear(24, 36)), filled(24, 36, 4, 6)
    write_map(part, dense.weight.T, dense.bias)
    torch.testing.assert_close(part(tokens(24)), dense(tokens(24)), **EXACT)


def test_with_a_second_moment_of_one_block_alone_the_outputs_are_nearest() -> None:
    """What stands in one block of inputs is then all that is lost, and form 1 of the closed forms says how much."""
    weight, rows = dense_of(24, 24), 200
    x = torch.zeros(rows, 24, dtype=torch.float64)
    x[:, :6] = torch.randn(rows, 6, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    x[:, :6] *= torch.logspace(0, -2, 6, dtype=torch.float64)
    by_numbers, by_outputs = (filled(24, 24, 4, 2) for _ in range(2))
    by_numbers.from_matrix(weight)
    by_outputs.moment = x.T @ x
    by_outputs.from_matrix(weight)
    lost = [float((x @ (part.matrix() - weight)).norm()) for part in (by_outputs, by_numbers)]
    least = torch.stack([torch.linalg.svdvals(x @ weight[:, 6 * k : 6 * k + 6])[2:] for k in range(4)]).norm()
    assert lost[0] == pytest.approx(float(least), rel=1e-6)
    assert lost[1] > 1.01 * lost[0]


@pytest.mark.parametrize("blocks", [4, 8])
def test_a_square_map_has_two_n_squared_over_the_blocks_numbers(blocks: int) -> None:
    """The count of papers.md, section 5."""
    found = block_factors(64, 64, blocks)
    assert found is not None
    assert found.numbers == 2 * 64**2 // blocks


def test_blocks_that_do_not_divide_the_widths_are_fewer_and_what_saves_nothing_stays_one_matrix() -> None:
    found = block_factors(24, 30, 4)
    assert found is None or math.gcd(found.blocks, 24, 30) == found.blocks
    assert block_factors(7, 40, 4) is None
    assert isinstance(linear_map(monarch(dim=7, heads=1), "qkv", 7, 7, bias=True), nn.Linear)


def monarch(**settings: object) -> ModelConfig:
    return ModelConfig.model_validate(SIZES | {"linear": "monarch"} | settings)


@pytest.mark.parametrize("kind", ["kronecker", "monarch"])
def test_a_model_is_the_dense_model_with_its_matrices(kind: str) -> None:
    model = model_with("linear", kind, bias="all")
    ours = randomise(build(model))
    dense = build(model.model_copy(update={"linear": AXES["linear"].parse("dense")}), seed=9)
    maps = {name: part for name, part in ours.named_modules() if isinstance(part, MonarchMap | TensorChain)}
    assert maps
    inner = {f"{name}.{each}" for name, part in maps.items() for each, _ in part.named_parameters() if each != "bias"}
    states = {name: p for name, p in ours.named_parameters() if name not in inner}
    dense.load_state_dict(states | {f"{name}.weight": part.matrix().T for name, part in maps.items()})
    torch.testing.assert_close(ours(*examples(model)), dense(*examples(model)), **EXACT)


def test_a_kronecker_map_is_the_product_of_two_matrices_and_has_their_numbers() -> None:
    part = linear_map(model_with("linear", "kronecker"), "qkv", 24, 30, bias=False)
    assert isinstance(part, TensorChain)
    first, second = (core.squeeze(1).squeeze(1) for core in part.cores)
    assert first.shape == (6, 6) and second.shape == (4, 5)
    torch.testing.assert_close(part.matrix(), torch.kron(first, second), **EXACT)
    assert sum(core.numel() for core in part.cores) == 6 * 6 + 4 * 5


@pytest.mark.parametrize("kind", ["kronecker", "monarch"])
def test_roles_left_out_stay_dense_and_none_at_all_is_refused(kind: str) -> None:
    part = {"kind": kind, "qkv": False, "mlp": False}
    assert isinstance(linear_map(model_with("linear", kind, linear=part), "mlp", 24, 48, bias=True), nn.Linear)
    assert not isinstance(linear_map(model_with("linear", kind, linear=part), "output", 24, 24, bias=True), nn.Linear)
    with pytest.raises(AssertionError, match="is for no role"):
        model_with("linear", kind, linear={**part, "output": False})
