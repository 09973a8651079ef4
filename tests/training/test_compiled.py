"""Compiled training: the numbers of the plain model, its names, and one line where it cannot be done."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from minform_cli.errors import InputError, Interrupted, MachineError
from minform_cli.files import RunFolder
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.runs.records import read_result
from minform_cli.training.compiled import check_compiled
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.run import train
from tests.training.conftest import bits, lines, stopped, tiny

COMPILED = "train.compile=true"
SMALL = ("model.depth=1", "model.dim=8", "model.heads=2", "model.dropout=0")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.mark.soak
@needs_compiler
def test_a_compiled_run_has_the_losses_of_a_plain_one_and_resumes_to_its_own_bits(tmp_path: Path) -> None:
    train(tiny(*SMALL), tmp_path / "plain", device="cpu", threads=1)
    train(tiny(*SMALL, COMPILED), tmp_path / "whole", device="cpu", threads=1)
    ours, theirs = (
        [line["val_loss"] for line in lines(tmp_path / name / "metrics.jsonl")] for name in ("whole", "plain")
    )
    assert ours == pytest.approx(theirs, rel=1e-4)  # float32 rounding through fifteen steps of Adam
    torch._dynamo.reset()  # pyright: ignore[reportPrivateUsage]
    out = stopped(tmp_path / "stopped", 10, *SMALL, COMPILED)  # the next batch is the last, smaller one
    torch._dynamo.reset()  # pyright: ignore[reportPrivateUsage]
    train(tiny(*SMALL, COMPILED), out, resume=True, device="cpu", threads=1)
    assert bits(out) == bits(tmp_path / "whole")
    result = read_result(out)
    assert result["environment"]["compile"] == "true"
    assert evaluate_run(out, "val", threads=1)["loss"] == result["metrics"]["val_loss"]


@pytest.mark.soak
@needs_compiler
@pytest.mark.parametrize(("which", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_signal_while_it_compiles_stops_behind_that_step_and_the_run_goes_on(
    which: int, number: int, tmp_path: Path
) -> None:
    """While the first pass forward is compiled, and behind it."""
    from torch._dynamo.callback import callback_handler

    begun = 0

    def sent(_: object) -> None:
        nonlocal begun
        begun += 1
        if begun == which:
            os.kill(os.getpid(), number)

    settings = (*SMALL, COMPILED)
    torch._dynamo.reset()  # pyright: ignore[reportPrivateUsage]
    train(tiny(*settings), tmp_path / "whole", device="cpu", threads=1)
    torch._dynamo.reset()  # pyright: ignore[reportPrivateUsage]
    callback_handler.register_start_callback(sent)
    try:
        with pytest.raises(Interrupted) as caught:
            train(tiny(*settings), tmp_path / "run", device="cpu", threads=1)
    finally:
        callback_handler.remove_start_callback(sent)
    assert caught.value.exit_code == 128 + number and begun >= which
    folder = RunFolder(tmp_path / "run")
    assert read_checkpoint(folder, read_meta(folder)["sha256"]).state.step == 1
    assert not list((tmp_path / "run").glob(".*.tmp"))
    torch._dynamo.reset()  # pyright: ignore[reportPrivateUsage]
    train(tiny(*settings), tmp_path / "run", resume=True, device="cpu", threads=1)
    assert bits(tmp_path / "run") == bits(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_first_compiled_pass_stops_behind_that_step(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a compiler that compiles nothing, on every machine."""
    passes = 0

    def interrupted(model: torch.nn.Module, **_given: object) -> Callable[..., object]:
        def forward(*inputs: object) -> object:
            nonlocal passes
            passes += 1
            if passes == 1:
                os.kill(os.getpid(), number)
            return model(*inputs)

        return forward

    monkeypatch.setattr(torch, "compile", interrupted)
    with pytest.raises(Interrupted) as caught:
        train(tiny(*SMALL, COMPILED), tmp_path / "run", device="cpu", threads=1)
    assert caught.value.exit_code == 128 + number
    folder = RunFolder(tmp_path / "run")
    assert read_checkpoint(folder, read_meta(folder)["sha256"]).state.step == 1
    train(tiny(*SMALL, COMPILED), tmp_path / "run", resume=True, device="cpu", threads=1)
    train(tiny(*SMALL, COMPILED), tmp_path / "whole", device="cpu", threads=1)
    assert bits(tmp_path / "run") == bits(tmp_path / "whole")


def test_a_compiler_that_fails_is_one_line_and_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    def failing(model: torch.nn.Module, **_given: object) -> object:
        def forward(*_inputs: object) -> object:
            raise BackendCompilerFailed("inductor", RuntimeError("no compiler\nwas found"), None)

        return forward

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(
        MachineError, match=r"^train.compile: torch cannot compile .*; try train.compile=false.*$"
    ) as caught:
        train(tiny(*SMALL, COMPILED), tmp_path / "run", device="cpu", threads=1)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 4
    assert not RunFolder(tmp_path / "run").checkpoint.exists()


def test_what_compiled_code_would_pass_over_is_refused() -> None:
    for config, size, what in (
        (tiny(COMPILED).model_copy(update={"teacher": "somewhere"}), 1, "a teacher"),
        (tiny(COMPILED), 2, "several processes"),
        (tiny(COMPILED, "train.activation_checkpointing=true"), 1, "activation_checkpointing"),
    ):
        with pytest.raises(InputError, match=rf"^train.compile: not for .*{what}.*; accepted: train.compile=false$"):
            check_compiled(config, size)
    check_compiled(tiny(), 2)
    check_compiled(tiny(COMPILED), 1)


def test_it_is_part_of_a_run_only_where_it_is_on() -> None:
    assert tiny("train.compile=false").identity() == tiny().identity() != tiny(COMPILED).identity()
