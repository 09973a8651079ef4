"""Forced variants on calibration examples: maps that are not one matrix are nearest where their inputs lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from minform_cli.models.parts.linear import StoredMap, read_map
from minform_cli.reducing.costs import Costs
from minform_cli.reducing.moments import moments_of
from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.ways import made_smaller
from tests.reducing.test_calibrated import inputs_of, opened


@pytest.mark.parametrize("variant", ["low-rank", "tensor-chain"])
def test_outputs_of_every_map_are_nearer_than_without_examples(variant: str, digits: Path) -> None:
    run, original = opened(digits)
    assert run.spec is not None
    batches = inputs_of("digits", run)
    options = ReduceOptions(variant=variant)
    costs = Costs(original, run.config.model, batches)
    given = [made_smaller(original, run.config, run.spec, each, options, None).model for each in (costs, None)]
    with moments_of(original, given[0], batches):
        moments = {name: part.moment for name, part in given[0].named_modules() if isinstance(part, StoredMap)}
    assert len(moments) >= 2 * run.config.model.depth
    assert all(part.moment is None for part in given[0].modules() if isinstance(part, StoredMap))
    gained = 0.0
    for name, moment in moments.items():
        assert moment is not None
        weight = read_map(original.get_submodule(name)).weight
        far = [weight - read_map(model.get_submodule(name)).weight for model in given]
        with_data, without = (float((each * (moment @ each)).sum()) for each in far)
        assert with_data <= without * (1 + 1e-4) + 1e-12
        gained += without - with_data
    assert gained > 0


def test_the_moment_is_that_of_what_the_map_reads_of_real_tokens(sentences: Path) -> None:
    run, original = opened(sentences)
    assert run.spec is not None
    batches = inputs_of("sentences", run)
    options = ReduceOptions(variant="low-rank")
    model = made_smaller(original, run.config, run.spec, None, options, None).model
    seen: list[torch.Tensor] = []
    block = cast(Any, original).blocks[0]
    hook = block.mlp.w_1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        original(*batches[0])
    hook.remove()
    rows = seen[0][cast(torch.Tensor, batches[0][2])].double()
    with moments_of(original, model, batches):
        found = cast(Any, model).blocks[0].mlp.w_1.moment
    assert torch.allclose(found, rows.T @ rows, rtol=1e-4)
