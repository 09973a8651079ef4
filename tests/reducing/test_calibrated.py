"""Ranks and hidden units under one budget: met to one unit, as counted, the same every time; its algebra."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from minform_cli.errors import InputError
from minform_cli.models.verify import verify
from minform_cli.reducing import run as runs
from minform_cli.reducing.asked import parse_budget
from minform_cli.reducing.calibrated import Calibrated, applies_to, calibrated
from minform_cli.reducing.calibration import Inputs
from minform_cli.reducing.costs import Costs
from minform_cli.reducing.least_squares import Gathered, damped, kept_inputs, power
from minform_cli.runs.stored import StoredRun, read_run


def opened(folder: Path) -> tuple[StoredRun, torch.nn.Module]:
    run = read_run(folder)
    assert run.spec is not None
    return run, run.model(run.spec, torch.device("cpu")).eval()


def inputs_of(kind: str, run: StoredRun) -> list[Inputs]:
    if kind == "digits":
        examples = runs.own_examples(run)
        assert examples is not None
        return list(runs.calibration(examples, None, 0).batches)
    chance = torch.Generator().manual_seed(3)
    tokens = torch.randint(5, cast(Any, run.spec).vocab_size, (40, 9), generator=chance)
    real = torch.arange(9) < torch.randint(4, 10, (40, 1), generator=chance)
    return [(tokens, None, real)]


def smaller(
    run: StoredRun, original: torch.nn.Module, batches: list[Inputs], budget: str, only: Sequence[str] = ()
) -> Calibrated | None:
    assert run.spec is not None
    costs = Costs(original, run.config.model, batches, only)
    return calibrated(run.config, run.spec, costs, parse_budget(budget))


def blocks(model: torch.nn.Module) -> int:
    return sum(each.numel() for each in cast(Any, model).blocks.parameters())


@pytest.mark.parametrize("kind", ["digits", "sentences"])
def test_a_budget_is_met_by_less_than_a_unit_as_counted_and_the_same_twice(
    kind: str, request: pytest.FixtureRequest
) -> None:
    run, original = opened(request.getfixturevalue(kind))
    assert run.spec is not None
    assert applies_to(original, run.config.model)
    batches, unit = inputs_of(kind, run), 2 * run.config.model.dim + 1
    for text in ("50%", "40%"):
        budget = parse_budget(text)
        first, second = (smaller(run, original, batches, text) for _ in range(2))
        assert first is not None and second is not None and budget.share is not None
        config, model, again = first.config, first.model, second.model
        assert budget.share * blocks(original) - unit < blocks(model) <= budget.share * blocks(original)
        verify(config, run.spec)
        theirs = again.state_dict()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(InputError, match="less than what cannot go; the least is"):
        smaller(run, original, batches, "1%")


def test_more_is_lost_the_less_is_kept(sentences: Path) -> None:
    run, original = opened(sentences)
    assert run.spec is not None
    batches = inputs_of("sentences", run)
    wanted = original(*batches[0]).detach()
    errors: list[float] = []
    for text in ("55%", "40%", "30%"):
        found = smaller(run, original, batches, text)
        assert found is not None
        errors.append(float((found.model(*batches[0]).detach() - wanted).square().sum()))
    assert errors == sorted(errors)


def test_the_fit_is_that_of_least_squares_with_a_bias() -> None:
    torch.manual_seed(0)
    rows, wanted = torch.randn(200, 7).double() + 1, torch.randn(200, 3).double()
    gathered = Gathered(centred=True)
    for part in range(0, 200, 50):
        gathered.add(rows[part : part + 50], wanted[part : part + 50], torch.ones(50).double())
    equations = gathered.equations()
    found = equations.fit(torch.zeros(7, 3).double(), 0.0)
    expected = torch.linalg.lstsq(torch.cat([rows, torch.ones(200, 1).double()], dim=1), wanted).solution
    assert torch.allclose(torch.cat([found, equations.bias(found).unsqueeze(0)]), expected, atol=1e-10)


def test_inputs_that_others_replace_go_first() -> None:
    """Input 0 is large and the sum of 1 and 2: alone it says most, and nothing is lost without it."""
    torch.manual_seed(0)
    rows = torch.randn(500, 6).double()
    rows[:, 0] = rows[:, 1] + rows[:, 2]
    moment = damped(rows.T @ rows, 1e-9)
    weight = torch.eye(6).double()[:, :3] * torch.tensor([5.0, 1.0, 1.0]).double() + 0.5
    assert kept_inputs(moment, weight, 5).tolist() != [0, 1, 2, 3, 4]
    gone = set(range(6)) - set(kept_inputs(moment, weight, 5).tolist())
    assert gone <= {0, 1, 2}


def test_a_power_of_a_moment_is_undone_by_the_opposite_one() -> None:
    torch.manual_seed(0)
    rows = torch.randn(3, 40, 5).double()
    moment = rows.mT @ rows
    assert torch.allclose(power(moment, 0.5) @ power(moment, 0.5), moment, atol=1e-9)
    assert torch.allclose(power(moment, 0.5) @ power(moment, -0.5), torch.eye(5).double().expand(3, 5, 5), atol=1e-9)
