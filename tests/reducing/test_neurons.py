"""Hidden units away: the budget is met to one unit, what stays is fitted by least squares, nonsense is no budget."""

from pathlib import Path

import pytest
import torch

import minform_cli
from minform_cli.errors import InputError
from minform_cli.reducing import run as runs
from minform_cli.reducing.asked import parse_budget
from minform_cli.reducing.neurons import DAMPING, fewer_neurons
from minform_cli.reducing.options import ReduceOptions
from minform_cli.runs.stored import StoredRun, read_run
from tests.cli.commands import Command

UNIT = 2 * 8 + 1
"""Numbers of a hidden unit of the small runs."""


@pytest.fixture(scope="module")
def run(digits: Path) -> StoredRun:
    return read_run(digits)


def blocks(model: torch.nn.Module) -> int:
    return sum(each.numel() for each in model.blocks.parameters())  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("text", ["99%", "85%", "83.3%", "1,100", "1.1k"])
def test_a_budget_is_met_and_by_less_than_a_unit(run: StoredRun, text: str) -> None:
    assert run.spec is not None
    original = run.model(run.spec, torch.device("cpu")).eval()
    config, model = fewer_neurons(original, run.config, run.spec, None, parse_budget(text))
    whole = sum(each.numel() for each in model.parameters())
    asked = parse_budget(text)
    found, allowed = (blocks(model), asked.share * blocks(original)) if asked.share else (whole, asked.number)
    assert allowed is not None
    assert allowed - UNIT < found <= allowed
    assert config.baseline == run.config.model


def test_what_stays_is_the_least_squares_fit_of_what_the_mlp_gave(run: StoredRun) -> None:
    """Against numpy's own least squares over the hidden units of the first block, seen by a hook of the test."""
    assert run.spec is not None
    original = run.model(run.spec, torch.device("cpu")).eval()
    examples = runs.own_examples(run)
    assert examples is not None
    batches = runs.calibration(examples, None, 0).batches
    _, model = fewer_neurons(original, run.config, run.spec, batches, parse_budget("85%"))
    hidden: list[torch.Tensor] = []
    mlp, narrow = original.blocks[0].mlp, model.blocks[0].mlp  # type: ignore[index, union-attr]
    hook = mlp.w_2.register_forward_pre_hook(lambda _module, given: hidden.append(given[0].flatten(0, 1).double()))
    with torch.no_grad():
        for inputs in batches:
            original(*inputs)
    hook.remove()
    rows = torch.cat(hidden)
    kept = [mlp.w_1.weight.tolist().index(row) for row in narrow.w_1.weight.tolist()]
    assert 0 < len(kept) < rows.shape[1]
    own, wanted = rows[:, kept], rows @ mlp.w_2.weight.detach().double().T
    damping = (DAMPING * own.square().sum(0).mean()).sqrt() * torch.eye(len(kept), dtype=torch.float64)
    padded = torch.cat([own, damping]), torch.cat([wanted, torch.zeros(len(kept), wanted.shape[1]).double()])
    expected = torch.linalg.lstsq(*padded).solution
    # The weights are float32.
    assert torch.allclose(narrow.w_2.weight.double().T, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(narrow.w_2.bias, mlp.w_2.bias)


def test_the_least_budget_is_told_and_is_one(digits: Path, tmp_path: Path, minform: Command) -> None:
    def refused(budget: str) -> str:
        return minform("reduce", str(digits), "--budget", budget, "--out", str(tmp_path / "out")).refusal

    for budget in ("1%", "9"):
        message = refused(budget)
        least = message.rpartition("the least is ")[2]
        assert "less than what cannot go" in message
        (record,) = minform_cli.reduce(digits, tmp_path / budget, ReduceOptions(budgets=[least], threads=1))
        assert sum(layer["after"]["mlp"] for layer in record["layers"]) == 0
        assert "away" in record["steps"][0]
        assert record["variant"] == f"reduced-{least}"
    assert "has" in refused("100%")
    assert "parameters already" in refused("100%")


@pytest.mark.parametrize("text", ["150%", "0%", "-5%", "half", "", "12Q", "0", "%", "nan%", "1e3"])
def test_nonsense_is_no_budget(text: str) -> None:
    with pytest.raises(InputError, match="--budget"):
        parse_budget(text)
    with pytest.raises(InputError):
        ReduceOptions(budgets=[text])


def test_a_part_that_a_budget_cannot_take_from_and_a_budget_twice_are_refused() -> None:
    with pytest.raises(InputError, match="unknown part 'mpl'; did you mean 'mlp'"):
        ReduceOptions(budgets=["50%"], only=["mpl"])
    with pytest.raises(InputError, match="stands there twice"):
        ReduceOptions(budgets=["50%", "50%"])
