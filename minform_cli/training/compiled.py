"""A model's training passes compiled by torch: other kernels for the same numbers, but for rounding.

The model itself stays what it is: its weights keep their names, and it is measured and saved without a compiler. Only
one process trains it, and nobody listens to its blocks (a teacher does): compiled code would not call them.

Images: each of the two sizes of a batch is compiled for itself, so that what a step computes does not depend on which
came before. Text: sizes are left open, as nearly every batch has others; kernels are then chosen for the size that is
met first, and a resumed run meets another one first: it may differ by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec, ImageSpec
from minform_cli.errors import InputError, MachineError

if TYPE_CHECKING:
    from minform_cli.training.team import Team


def check_compiled(config: RunConfig, num_processes: int) -> None:
    """Raises `InputError` if the run cannot be compiled."""
    if not config.train.compile:
        return
    beside = {
        "a run that follows a teacher, whose hidden states are read off its blocks": config.teacher is not None,
        "several processes": num_processes > 1,
        "train.activation_checkpointing, which the compiler does in its own way": config.train.activation_checkpointing,
    }
    for what, there in beside.items():
        if there:
            raise InputError(f"train.compile: not for {what}; accepted: train.compile=false")


def compiled(model: nn.Module, spec: DataSpec) -> Callable[..., Tensor]:
    """`model` as a function whose passes are compiled when they are first made."""
    made = torch.compile(model, dynamic=not isinstance(spec, ImageSpec))
    return cast("Callable[..., Tensor]", made)


@contextmanager
def compiling(team: Team) -> Generator[None]:
    """Within, a failure to compile is the machine's.

    Raises:
        MachineError: torch has no compiler for the device here, or it failed; no weight has changed.
        Interrupted: it failed as a signal came, which reaches the compiler's processes, too.
    """
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    try:
        yield
    except (TorchDynamoException, CppCompileError, InvalidCxxCompiler) as error:
        team.check()
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise MachineError(
            f"train.compile: torch cannot compile the model on this machine ({said}); try train.compile=false, or "
            "install a C++ compiler"
        ) from error
