"""Sublayers and blocks away: each the one that costs least, measured anew; the result is a model of what is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from minform_cli.models.build import build_model
from minform_cli.models.verify import verify
from minform_cli.reducing.calibration import Inputs
from minform_cli.reducing.costs import Costs
from minform_cli.reducing.layers import layer_records
from minform_cli.reducing.removal import Away, removals
from minform_cli.reducing.sensitivity import EVERY
from minform_cli.runs.stored import StoredRun
from tests.reducing.test_calibrated import blocks, inputs_of, opened, smaller


def given(original: nn.Module, batches: list[Inputs], gone: set[tuple[int, str]]) -> torch.Tensor:
    """What the model gives where these sublayers add nothing; of models whose norms stand first."""
    hooks = [
        getattr(cast(Any, original).blocks[block], kind).register_forward_hook(
            lambda *given: torch.zeros_like(given[2])
        )
        for block, kind in gone
    ]
    fewer = [tuple(None if each is None else each[::EVERY] for each in inputs) for inputs in batches]
    with torch.no_grad():
        found = torch.cat([original(*inputs) for inputs in fewer])
    for hook in hooks:
        hook.remove()
    return found.double()


def lost(original: nn.Module, batches: list[Inputs], gone: set[tuple[int, str]]) -> float:
    wanted = given(original, batches, set())
    spread = (wanted - wanted.mean(0)).square().sum()
    return float((given(original, batches, gone) - wanted).square().sum() / spread)


def deeper(run: StoredRun, original: nn.Module) -> tuple[StoredRun, nn.Module]:
    """A run of three blocks, untrained."""
    assert run.spec is not None
    config = run.config.model_copy(update={"model": run.config.model.model_copy(update={"depth": 3})})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = build_model(config, run.spec).eval()
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.3)
    return replace(run, config=config), made


def all_of(run: StoredRun, original: nn.Module, batches: list[Inputs], **kinds: bool) -> list[Away]:
    return list(removals(original, run.config.model, batches, **kinds))


def test_each_that_goes_costs_least_of_all_that_could_with_those_before_away(digits: Path) -> None:
    run, original = opened(digits)
    batches = inputs_of("digits", run)
    every = {(block, kind) for block in range(run.config.model.depth) for kind in ("attention", "mlp")}
    before, loss, numbers = set[tuple[int, str]](), 0.0, 0
    found = all_of(run, original, batches, sublayers=True, whole=False)
    assert len(found) == len(every) - 1
    assert {kind for _, kind in every - found[-1].gone} == {"attention"}
    for away in found:
        ((block, kind),) = away.gone - before
        assert away.loss == pytest.approx(lost(original, batches, set(away.gone)), rel=1e-4)
        went = away.numbers - numbers
        parts = cast(Any, original).blocks[block]
        own = [*getattr(parts, kind).parameters(), *getattr(parts, f"{kind}_norm").parameters()]
        assert went == sum(each.numel() for each in own)
        attend = {one for one in every - before if one[1] == "attention"}
        for other in every - away.gone - (attend if len(attend) == 1 else set()):
            theirs = cast(Any, original).blocks[other[0]]
            size = sum(
                each.numel() for part in (other[1], f"{other[1]}_norm") for each in getattr(theirs, part).parameters()
            )
            price = (lost(original, batches, {*before, other}) - loss) / size
            assert (away.loss - loss) / went <= price + 1e-9
        before, loss, numbers = set(away.gone), away.loss, away.numbers


@pytest.mark.parametrize("kind", ["digits", "sentences"])
@pytest.mark.parametrize("only", ["sublayers", "blocks"])
def test_what_is_left_is_a_model_within_the_budget(kind: str, only: str, request: pytest.FixtureRequest) -> None:
    run, original = deeper(*opened(request.getfixturevalue(kind)))
    assert run.spec is not None
    batches = inputs_of(kind, run)
    found = smaller(run, original, batches, "70%", [only])
    assert found is not None
    assert blocks(found.model) <= 0.7 * blocks(original)
    verify(found.config, run.spec)
    if only == "blocks":
        assert found.config.model.depth == run.config.model.depth - 1 == len(found.kept)
        assert [step.split(":")[0] for step in found.steps] == ["blocks away"]
    else:
        assert found.config.model.depth == len(found.kept)
        assert found.steps
    again = smaller(run, original, batches, "70%", [only])
    assert again is not None
    theirs = again.model.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in found.model.state_dict().items())
    records = layer_records(original, found.model, batches, found.kept)
    assert [record["layer"] for record in records] == list(range(1, run.config.model.depth + 1))
    for depth, record in enumerate(records):
        assert (record["errors"]["output"] is None) == (depth not in found.kept)
        assert (sum(record["after"].values()) == 0) == (depth not in found.kept)


def test_of_all_ways_together_the_one_is_taken_that_is_said_to_lose_least(digits: Path) -> None:
    """At a quarter of the numbers a block's sublayer goes; nothing goes whole where that costs more than a little."""
    run, original = opened(digits)
    batches = inputs_of("digits", run)
    little, much = (smaller(run, original, batches, text) for text in ("75%", "25%"))
    assert little is not None and much is not None
    assert not little.steps
    assert much.steps
    assert blocks(much.model) <= 0.25 * blocks(original)


def test_a_sample_is_measured_once_for_all_budgets(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minform_cli.reducing import costs as module

    run, original = opened(digits)
    calls: list[str] = []
    for name in ("losses", "removals"):
        was = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, was=was, name=name, **k: (calls.append(name), was(*a, **k))[1])
    costs = Costs(original, run.config.model, inputs_of("digits", run))
    assert run.spec is not None
    from minform_cli.reducing.asked import parse_budget
    from minform_cli.reducing.calibrated import calibrated

    for text in ("60%", "30%", "60%"):
        assert calibrated(run.config, run.spec, costs, parse_budget(text)) is not None
    assert calls == ["losses", "removals"]
