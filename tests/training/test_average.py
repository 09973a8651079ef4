"""``train.ema``: the average is the one of its definition, is what a run is measured by, and survives a stop."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.report.train_table import train_caption
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_run
from minform_cli.runs.tensors import weights_of
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.run import train
from minform_cli.training.stackable import check_stackable
from tests.training.conftest import bits, lines, resumed, stopped, tiny
from tests.training.test_parallel import EXACT, finish
from tests.training.test_step import make

EMA = "train.ema=0.7"


def file_of(out: Path, role: str) -> dict[str, torch.Tensor]:
    folder = RunFolder(out)
    return load_file(out / read_checkpoint(folder, read_meta(folder)["sha256"]).files[role]["name"])


def test_it_is_the_average_of_its_definition() -> None:
    stepper, batch = make(EMA)
    assert stepper.average is not None
    expected = {name: tensor.double().clone() for name, tensor in weights_of(stepper.model).items()}
    for step in range(40):
        stepper.take(step, batch)
        decay = min(0.7, (1 + step) / (10 + step))
        for name, tensor in weights_of(stepper.model).items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double()
    for name, tensor in stepper.measured_weights().items():
        torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_the_steps_do_not_know_of_it() -> None:
    (plain, batch), (averaged, _) = make(), make(EMA)
    for step in range(3):
        assert plain.take(step, batch) == averaged.take(step, batch)
        with averaged.measuring():
            own = {name: tensor.clone() for name, tensor in weights_of(averaged.model).items()}
        assert any(not torch.equal(own[name], tensor) for name, tensor in weights_of(averaged.model).items())
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), averaged.model.parameters(), strict=True))


def test_the_model_has_its_own_weights_again_whatever_happens_while_it_is_measured() -> None:
    stepper, batch = make(EMA)
    stepper.take(0, batch)
    before = {name: tensor.clone() for name, tensor in weights_of(stepper.model).items()}
    with pytest.raises(KeyboardInterrupt), stepper.measuring():
        raise KeyboardInterrupt
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(stepper.model).items())


@pytest.mark.parametrize("step", [2, 8, 10])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path, step: int) -> None:
    train(tiny(EMA), tmp_path / "whole", threads=1)
    found = bits(resumed(tmp_path / "stopped", step, EMA))
    assert found == bits(tmp_path / "whole")
    assert {"weights", "stepped", "best", "optimizer"} < found.keys()


def test_a_run_is_measured_by_it_and_keeps_it(train_tiny: Callable[..., Path]) -> None:
    out, plain = train_tiny(EMA), train_tiny(name="plain")
    result = read_result(out)
    assert evaluate_run(out, "val", threads=1)["loss"] == result["metrics"]["val_loss"]
    assert evaluate_run(out, "test", threads=1)["loss"] == result["metrics"]["test_loss"]
    best = evaluate_run(out, "val", which="best", threads=1)
    epoch = lines(RunFolder(out).metrics)[int(result["metrics"]["best_epoch"]) - 1]
    assert best["loss"] == epoch["val_loss"]
    assert all(torch.equal(tensor, file_of(plain, "weights")[name]) for name, tensor in file_of(out, "stepped").items())
    assert any(
        not torch.equal(tensor, file_of(out, "stepped")[name]) for name, tensor in read_run(out).weights().items()
    )


def test_whoever_reads_a_figure_is_told_which_weights_it_is_of(train_tiny: Callable[..., Path]) -> None:
    out, plain = train_tiny(EMA), train_tiny(name="plain")
    assert "weights averaged over the steps (train.ema 0.7)" in train_caption(read_result(out))[0]
    assert "averaged" not in train_caption(read_result(plain))[0]
    assert "the weights are averages over the steps (train.ema 0.7)" in evaluate_run(out, "val", threads=1)["notes"]


def test_several_processes_go_on_from_one_average(tmp_path: Path) -> None:
    train(tiny(*EXACT, EMA), tmp_path / "one", threads=1)
    stopped(tmp_path / "two", 8, *EXACT, EMA)
    finish(tmp_path / "two", *EXACT, EMA, "--resume")
    for role in ("weights", "stepped", "best"):
        one, two = file_of(tmp_path / "one", role), file_of(tmp_path / "two", role)
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=0, atol=2e-3, msg=f"{role} {name}")


def test_a_run_without_it_is_what_it_was() -> None:
    assert "ema" not in tiny().identity()["train"]  # type: ignore[operator]
    with pytest.raises(InputError, match="ema"):
        check_stackable(tiny(EMA))
    for wrong in ("1", "0", "-0.5", "'x'"):
        with pytest.raises(InputError, match=r"train\.ema"):
            tiny(f"train.ema={wrong}")
