"""The processes that train one model, as the training loop sees them; here there is one."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from minform_cli.runs.tensors import Tensors
from minform_cli.training.interrupt import StopRequest

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch

T = TypeVar("T")


class Team:
    """One process alone: every exchange is with itself, and changes no bit.

    `minform_cli.training.parallel.Parallel` does the same among several processes. There, whatever exchanges something
    must be called by all of them, in the same order; so nothing but a number that all have may decide what is called.

    Attributes:
        rank, size: number of this process, from 0, and how many there are.
    """

    rank = 0
    size = 1

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    @property
    def leads(self) -> bool:
        """Whether this process writes the run folder and tells how it goes."""
        return self.rank == 0

    @property
    def leaving(self) -> bool:
        """Whether a second signal came to this process: nothing more is saved."""
        return self._stop.leaving

    def check(self) -> None:
        """Raises `Interrupted` if a signal has come; in all processes or in none."""
        self._stop.check()

    def defer(self) -> None:
        """From here on the first signal waits for `check`."""
        self._stop.defer()

    def until_signalled(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """`batches`, fewer if a signal comes to this process; then the next `total` raises."""
        return batches

    def clock(self) -> float:
        """Seconds; in all processes the same number, so that it can decide what they do."""
        return time.perf_counter()

    @contextmanager
    def together(self) -> Generator[None]:
        """All processes leave this context when the last has come to its end; if one fails in it, all raise."""
        yield

    def from_leader(self, work: Callable[[], T]) -> T:
        """What `work`, done by the leading process alone, returns or raises."""
        return work()

    def device(self, name: str) -> str:
        """The device for this process where the user said `name`."""
        return name

    def meet_on(self, device: torch.device) -> None:
        """Exchanges what lies on `device` from here on."""

    def wrap(self, model: nn.Module) -> Callable[..., Tensor]:
        """`model` as a function after whose backward pass every process has the gradients of the whole batch."""
        return model

    def spread(self, model: nn.Module, optimizer: Optimizer, step: int, average: Tensors | None = None) -> None:
        """Gives all processes the leading one's weights, moments and average of weights after `step` steps."""

    def inputs(self, batch: Batch) -> tuple[tuple[Tensor | None, ...], Tensor]:
        """Inputs and labels that this process computes on."""
        return batch.inputs, batch.labels

    def apart(self) -> AbstractContextManager[object]:
        """Within, the wrapped model computes what is exchanged with the gradients of the next pass outside of it."""
        return nullcontext()

    def weighted(self, loss: Tensor, batch: Batch) -> Tensor:
        """The mean `loss` of this process's part, weighted so that the gradients are those of the batch's mean."""
        return loss * (len(batch.labels) / batch.size) if batch.elsewhere else loss

    def combined(
        self,
        loss: Tensor,
        correct: Tensor,
        norm: Tensor,
        batch: Batch,  # noqa: ARG002  (among several it counts)
    ) -> tuple[float, int, float]:
        """Mean loss and right answers over the whole batch, and the gradient's norm, which all have.

        Args:
            loss: mean over this process's part.
            correct: in this process's part.
            norm: after the exchange of gradients.
            batch: whose part it is.
        """
        # The three numbers come from the device together: one wait a step.
        numbers: list[float] = torch.stack([loss.detach(), correct.to(loss.dtype), norm]).tolist()
        return numbers[0], int(numbers[1]), numbers[2]

    def gathered(self, pieces: Sequence[Tensor]) -> Tensor:
        """What all processes have, one after another, (n,); each calls this with its own `pieces`, on the CPU."""
        return torch.cat(list(pieces)) if pieces else torch.empty(0, dtype=torch.int64)

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of `numbers` over the processes; raises if a signal has come to any."""
        return list(numbers)
