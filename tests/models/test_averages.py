"""Several blocks become the mean of what they do, whatever basis each head's weights stand in."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

from minform_cli.errors import InputError
from minform_cli.models.averages import mean_block
from minform_cli.models.parts.linear import Matrix
from minform_cli.models.parts.similarity.base import Projections
from minform_cli.models.parts.value.base import ValueMaps
from tests.models.test_identities import EXACT, randomise, tokens
from tests.zoo import build, model_with

LOW = {"kind": "low-rank", "rank": 3}
PARTS: dict[str, dict[str, Any]] = {
    "separate": {},
    "low rank": {"similarity": LOW, "value": LOW},
    "pivoted": {"similarity": {**LOW, "pivoted": True}, "value": {**LOW, "pivoted": True}},
    "pivoted, whole": {
        "similarity": {"kind": "low-rank", "pivoted": True},
        "value": {"kind": "low-rank", "pivoted": True},
    },
}


def block(name: str) -> Any:
    return randomise(build(model_with("norm", "pre", bias="live", **PARTS[name]))).blocks[0]


def turned(given: Any) -> Any:
    """The same function, each head's columns in another basis."""
    made = deepcopy(given)
    similarity, value = made.attention.similarity, made.attention.value
    generator = torch.Generator().manual_seed(2)
    width = similarity.head_dim
    turns = torch.linalg.qr(torch.randn(similarity.heads, width, width, generator=generator, dtype=torch.float64))[0]
    whole = torch.block_diag(*turns)
    scores, maps = similarity.projections(), value.maps(None)
    similarity._fit(Projections(*(Matrix(each.weight @ whole, each.bias @ whole) for each in scores)))
    values = Matrix(maps.values.weight @ whole, maps.values.bias @ whole)
    value._fit(ValueMaps(values, Matrix(whole.T @ maps.output.weight, maps.output.bias)), None)
    return made


@pytest.mark.parametrize("name", PARTS)
def test_blocks_that_do_the_same_become_one_that_does_it(name: str) -> None:
    one = block(name)
    other, x = turned(one), tokens()
    torch.testing.assert_close(other(x), one(x), atol=1e-9, rtol=1e-9)  # float64 through factors of low rank
    torch.testing.assert_close(mean_block([one, other])(x), one(x), atol=1e-9, rtol=1e-9)
    if name == "separate":
        assert not torch.allclose(one.attention.similarity.w_q.weight, other.attention.similarity.w_q.weight)


def test_one_block_is_itself_and_weights_of_no_head_are_means() -> None:
    first, second = block("separate"), block("separate")
    with torch.no_grad():
        second.mlp.w_1.weight += 1
    assert mean_block([first]) is first
    made: Any = mean_block([first, second])
    torch.testing.assert_close(made.mlp.w_1.weight, first.mlp.w_1.weight + 0.5, **EXACT)
    torch.testing.assert_close(made.attention.similarity.w_q.weight, first.attention.similarity.w_q.weight, **EXACT)


def test_heads_whose_keys_are_values_are_left_as_they_stand() -> None:
    first = randomise(build(model_with("value", "key", bias="all"))).blocks[0]
    second: Any = deepcopy(first)
    with torch.no_grad():
        second.attention.similarity.w_k.weight *= -1
        second.attention.similarity.w_q.weight *= -1
    made: Any = mean_block([first, second])
    assert not made.attention.similarity.w_k.weight.any()


def test_other_ranks_are_refused_in_one_line() -> None:
    one = block("low rank")
    other = randomise(
        build(model_with("norm", "pre", bias="live", similarity={"kind": "low-rank", "rank": 2}, value=LOW))
    )
    with pytest.raises(InputError, match="blocks of other ranks or widths become no one block; accepted: alike ones"):
        mean_block([one, other.blocks[0]])
