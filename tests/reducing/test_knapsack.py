"""The knapsack finds the least loss that fits; a part costs what was said; a budget takes from what it may."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from minform_cli.config.axes import PerBlock
from minform_cli.errors import InputError
from minform_cli.models.parts.linear import read_map, write_map
from minform_cli.reducing.asked import PARTS, Part
from minform_cli.reducing.knapsack import Item, fitting
from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.sensitivity import losses
from minform_cli.reducing.ways import made_smaller
from tests.reducing.test_calibrated import blocks, inputs_of, opened, smaller


def convex(*losses: float, unit: int = 1) -> Item:
    return Item(tuple(range(1, len(losses) + 1)), tuple(unit * (at + 1) for at in range(len(losses))), losses)


def test_with_losses_that_fall_ever_less_nothing_that_fits_loses_less() -> None:
    items = [convex(9, 4, 1, 0), convex(3, 1, 0.5, 0.25, unit=2), convex(20, 1, 0.9, 0)]
    for allowed in range(4, 16):
        chosen = fitting(items, allowed)
        assert chosen is not None
        used = sum(item.numbers[at] for item, at in zip(items, chosen, strict=True))
        assert used <= allowed
        found = sum(item.losses[at] for item, at in zip(items, chosen, strict=True))
        for other in product(*(range(len(item.sizes)) for item in items)):
            if sum(item.numbers[at] for item, at in zip(items, other, strict=True)) <= used:
                lost = sum(item.losses[at] for item, at in zip(items, other, strict=True))
                assert lost >= found - 1e-12


def test_nothing_fits_below_the_smallest_and_all_stays_where_there_is_room() -> None:
    items = [convex(2, 1, 0), convex(5, 1, 0)]
    assert fitting(items, 1) is None
    assert fitting(items, 2) == [0, 0]
    assert fitting(items, 6) == fitting(items, 100) == [2, 2]


def test_a_part_that_says_more_keeps_more() -> None:
    assert fitting([convex(4, 3, 2, 0), convex(400, 300, 200, 0)], 5) == [0, 3]


@pytest.mark.parametrize("kind", ["digits", "sentences"])
def test_losses_fall_with_size_and_are_measured_ones_where_they_were(kind: str, request: pytest.FixtureRequest) -> None:
    """At half of the hidden units of the last block, the model itself gives it, those units gone and W_2 fitted."""
    run, original = opened(request.getfixturevalue(kind))
    batches = inputs_of(kind, run)
    found = losses(original, run.config.model, batches, PARTS)
    depth = run.config.model.depth
    assert set(found) == {(block, part) for block in range(depth) for part in PARTS}
    for sizes, lost in found.values():
        assert list(sizes) == sorted(sizes)
        assert list(lost) == sorted(lost, reverse=True)
        assert lost[-1] == 0 < lost[0]
    sizes, lost = found[depth - 1, "mlp"]
    size = min(sizes, key=lambda each: abs(each - sizes[-1] / 2))
    assert lost[sizes.index(size)] == pytest.approx(_without_units(run, original, batches, size), rel=0.02)


def _without_units(run: Any, original: Any, batches: Any, size: int) -> float:
    """The same by hand: the units that go and the fit from least squares over what the model's own hook sees."""
    from minform_cli.reducing.least_squares import Gathered, damped, kept_inputs
    from minform_cli.reducing.sensitivity import DAMPING_MLP, EVERY

    block = original.blocks[-1]
    rows, outputs, after = [], [], []

    def keep(_module: Any, given: Any, output: Any) -> None:
        rows.append(given[0])
        outputs.append(output)

    def keep_tokens(_module: Any, given: Any) -> None:
        after.append(given[0])

    hooks = [block.mlp.w_2.register_forward_hook(keep), block.mlp_norm.register_forward_pre_hook(keep_tokens)]
    with torch.no_grad():
        for inputs in batches:
            original(*inputs)
    for hook in hooks:
        hook.remove()
    gathered = Gathered(centred=True)
    for x, y, added, inputs in zip(rows, outputs, after, batches, strict=True):
        real = inputs[2] if len(inputs) > 2 else torch.ones(x.shape[:2]).bool()
        spread = torch.ones(int(real.sum())) if block.norm_first else 1 / added[real].var(1)
        gathered.add(x[real], y[real], spread)
    equations, (weight, bias) = gathered.equations(), read_map(block.mlp.w_2)
    kept = kept_inputs(damped(equations.inputs, DAMPING_MLP), equations.fit(weight, DAMPING_MLP), size)
    own = equations.of(kept)
    fitted, whole = own.fit(weight[kept], DAMPING_MLP), torch.zeros_like(weight)
    whole[kept] = fitted
    fewer = [tuple(None if each is None else each[::EVERY] for each in inputs) for inputs in batches]
    with torch.no_grad():
        wanted = torch.cat([original(*inputs) for inputs in fewer])
        write_map(block.mlp.w_2, whole, own.bias(fitted))
        given = torch.cat([original(*inputs) for inputs in fewer])
        write_map(block.mlp.w_2, weight, bias)
    return float((given - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum())


@pytest.mark.parametrize("only", [("query-key",), ("value-output",), ("mlp",), ("query-key", "value-output")])
def test_a_budget_takes_from_the_parts_that_it_may(only: tuple[Part, ...], digits: Path) -> None:
    run, original = opened(digits)
    assert run.spec is not None
    model, batches = run.config.model, inputs_of("digits", run)
    found = smaller(run, original, batches, "82%", only)
    assert found is not None
    config, reduced = found.config, found.model
    most = 0.82 * blocks(original)
    # A rank of a block's heads is the largest step where no hidden units may go.
    step = 2 * model.dim + 1 if "mlp" in only else 2 * model.heads * model.dim + model.heads
    assert most - step < blocks(reduced) <= most
    changed = {
        part
        for part, axis in {"query-key": "similarity", "value-output": "value", "mlp": "mlp"}.items()
        if config.model.parts()[axis] != model.parts()[axis]
    }
    assert changed <= set(only)
    for name, tensor in original.state_dict().items():
        if (".w_q" in name or ".w_k" in name) and "query-key" not in only:
            assert torch.equal(reduced.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"only": ["query-kye"]},
            "--only: unknown part 'query-kye'; did you mean 'query-key'?; accepted: blocks, mlp, query-key",
        ),
        (
            {"only": ["query-key"], "data_free": True},
            "--only query-key: is chosen on data; accepted without: mlp",
        ),
    ],
)
def test_parts_that_may_not_go_are_refused(options: dict[str, Any], told: str, digits: Path) -> None:
    run, original = opened(digits)
    assert run.spec is not None
    with pytest.raises(InputError) as error:
        made_smaller(original, run.config, run.spec, None, ReduceOptions(budgets=["50%"], **options), "50%")
    assert str(error.value).startswith(told)


def test_less_than_the_parts_can_give_is_refused_with_the_least(digits: Path) -> None:
    run, original = opened(digits)
    assert run.spec is not None
    batches = inputs_of("digits", run)
    with pytest.raises(InputError, match=r"--budget 50%: less than what cannot go; the least is \d+\.\d%") as error:
        smaller(run, original, batches, "50%", ["query-key"])
    least = str(error.value).rsplit(" ", 1)[1]
    found = smaller(run, original, batches, least, ["query-key"])
    assert found is not None
    similarity = cast(Any, found.config.model.similarity)
    ranks = [part.rank for part in similarity.parts] if isinstance(similarity, PerBlock) else [similarity.rank]
    assert set(ranks) == {1}


def test_whole_ranks_that_fit_lose_nothing(digits: Path) -> None:
    run, original = opened(digits)
    assert run.spec is not None
    batches = inputs_of("digits", run)
    found = smaller(run, original, batches, "99%", ["query-key"])
    assert found is not None
    assert cast(Any, found.config.model.similarity).rank == run.config.model.head_dim
    with pytest.raises(InputError, match=r"--budget 100%: the model has .* parameters already"):
        smaller(run, original, batches, "100%", ["query-key"])
