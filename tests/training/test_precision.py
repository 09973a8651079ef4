"""bf16: what is computed in it, what stays float32, and that runs repeat and resume to the bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from minform_cli.config.presets import resolve
from minform_cli.errors import InputError
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_start
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.precision import check_precision
from minform_cli.training.run import dry_run, train
from tests.training.conftest import SETTINGS, bits, resumed, tiny
from tests.training.test_step import make
from tests.training.test_text import corpus, text_run
from tests.training.test_translation import run as pairs_run

BF16 = "train.precision=bf16"


def test_products_are_bfloat16_and_weights_gradients_and_moments_float32() -> None:
    stepper, batch = make(BF16)
    seen: list[torch.dtype] = []
    for module in stepper.model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    losses = [stepper.take(step, batch)[0] for step in range(3)]
    assert set(seen) == {torch.bfloat16}
    assert losses[2] < losses[0]
    held = [*stepper.model.parameters(), *(m for s in stepper.optimizer.state.values() for m in s.values())]
    assert {tensor.dtype for tensor in held} == {torch.float32}


def test_the_first_loss_is_that_of_float32_but_for_the_rounding_of_bfloat16() -> None:
    losses = [make(*settings)[0].take(0, make()[1])[0] for settings in ((), (BF16,))]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=2**-6)  # eight bits of mantissa, through two blocks


def test_a_stopped_run_goes_on_to_the_same_bits_and_says_its_precision(tmp_path: Path) -> None:
    train(tiny(BF16), tmp_path / "whole", threads=1)
    out = resumed(tmp_path / "stopped", 8, BF16)
    assert bits(out) == bits(tmp_path / "whole")
    assert read_result(out)["environment"]["precision"] == "bf16"
    with pytest.raises(InputError, match="precision"):
        train(tiny(), out, resume=True, threads=1)


def test_eval_measures_in_the_precision_of_the_run_and_says_so(train_tiny: Callable[..., Path]) -> None:
    out = train_tiny(BF16)
    measured = evaluate_run(out, "val", threads=1)
    assert measured["loss"] == read_result(out)["metrics"]["val_loss"]
    assert any("measured in bf16" in note for note in measured["notes"])


def test_runs_in_float32_are_what_they_were_before_there_was_a_choice() -> None:
    assert tiny("train.precision=fp32").identity() == tiny().identity()
    assert "precision" not in tiny().identity()["train"]  # type: ignore[operator]
    assert tiny(BF16).identity() != tiny().identity()


def test_a_device_without_bfloat16_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(BF16).train
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", _no)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", _no)
    for device in ("mps", "cuda:0"):
        with pytest.raises(InputError, match=rf"^train.precision bf16: {device} does not .*; accepted: fp32$"):
            check_precision(config, torch.device(device))
    check_precision(tiny().train, torch.device("mps"))
    check_precision(config, torch.device("cpu"))
    monkeypatch.setattr("minform_cli.training.precision._always", lambda: False)
    with pytest.raises(InputError, match="does not compute in bfloat16"):
        train(tiny(BF16), tmp_path / "run", threads=1)
    assert not (tmp_path / "run").exists()


def _no(*_given: object) -> bool:
    return False


def test_the_dry_run_says_what_is_computed_how() -> None:
    told = dry_run(tiny(BF16), threads=1)
    assert told["environment"]["precision"] == "bf16"
    assert any("validation and test too" in note for note in told["notes"])


@pytest.mark.parametrize("kind", ["masked-tokens", "next-tokens", "translation", "distillation"])
def test_text_translations_and_students_are_trained_and_measured_in_it(kind: str, tmp_path: Path) -> None:
    if kind == "translation":
        config = pairs_run(tmp_path, BF16, "train.steps=3", "train.eval_batch_size=20")
    elif kind == "distillation":
        train(tiny("train.steps=2"), tmp_path / "teacher", threads=1)
        given = (*SETTINGS, BF16, "train.steps=3", "distill.labels=1")
        config = resolve("debug", "no-mlp", given, teacher=read_start(tmp_path / "teacher")).config
    else:
        config = text_run(corpus(tmp_path), BF16, "train.steps=3", task=kind)
    result = train(config, tmp_path / "run", threads=1)
    assert evaluate_run(tmp_path / "run", "val", threads=1)["loss"] == result["metrics"]["val_loss"]
