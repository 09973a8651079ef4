"""One model trained by several processes: DistributedDataParallel over NCCL between GPUs, over gloo otherwise.

Every process takes its part of every batch; the exchanged gradients are those of the whole batch, so that a run has the
results of one process up to the order of float additions. Process 0 leads: it alone touches the run folder. A stop and
the time of a save must be the same step for all: signals and the leader's clock ride along with the loss of every
step, which is exchanged anyway, and cost no exchange of their own.
"""

from __future__ import annotations

import importlib
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from minform_cli.errors import InputError, Interrupted, MachineError, MinformError, NumericalError
from minform_cli.runs.tensors import Tensors, expected_moments, moments_of, put_moments, weights_of
from minform_cli.training.interrupt import SIGNALS, StopRequest
from minform_cli.training.launch import Launch
from minform_cli.training.team import Team

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)
"""Longest wait for another process. A dead one is noticed at once; a living one may have to fetch its data first."""

CPU = torch.device("cpu")
_ERRORS = {error.exit_code: error for error in (InputError, NumericalError, MachineError)}


class Echo(MinformError):  # noqa: N818  (the error is elsewhere)
    """What process 0 of a launch raises and says, in the others."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def joined(launch: Launch | None, stop: StopRequest) -> Generator[Team]:
    """The processes of `launch`, once all have come; without one, this process alone.

    Raises:
        MachineError: the others cannot be reached, or one of them ended.
        Echo: instead of `Interrupted`, in all processes but the first.
    """
    if launch is None:
        yield Team(stop)
        return
    stop.defer()  # a process that leaves on its own keeps the others waiting
    _join(launch)
    team = Parallel(launch, stop)
    try:
        yield team
    except Interrupted as stopped:
        if launch.rank == 0:
            raise
        raise Echo(stopped.exit_code, str(stopped)) from None
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the group
        raise MachineError(
            f"process {launch.rank} of {launch.world_size} lost contact with another, which ended or does not answer; "
            "the last checkpoint stays"
        ) from error
    finally:
        team.leave()


def _join(launch: Launch) -> None:
    host = f"[{launch.address}]" if ":" in launch.address else launch.address
    where = f"{host}:{launch.port}"
    # DistributedDataParallel imports it too late: once a group exists, its functions' defaults hold it for good.
    importlib.import_module("torch.distributed.nn.functional")
    try:
        dist.init_process_group(
            "gloo", init_method=f"tcp://{where}", rank=launch.rank, world_size=launch.world_size, timeout=TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise MachineError(
            f"process {launch.rank} of {launch.world_size} cannot join the others at {where}: {reason}"
        ) from error


class Parallel(Team):
    """This process among those of a launch; made by `joined`."""

    def __init__(self, launch: Launch, stop: StopRequest) -> None:
        super().__init__(stop)
        self.rank = launch.rank
        self.size = launch.world_size
        self._local_rank = launch.local_rank
        self._group: dist.ProcessGroup | None = None
        self._wrapped: list[_Exchanged] = []
        self._device = CPU
        self._signum: int | None = None
        self._clock = 0.0

    def check(self) -> None:  # noqa: D102
        if self._signum is not None:  # not what came to this process alone: the others go on to the next exchange
            self._stop.signum = self._signum
            self._stop.check()

    def defer(self) -> None:
        """Nothing: it has been so since the processes joined."""

    def until_signalled(self, batches: Iterable[Batch]) -> Iterable[Batch]:  # noqa: D102
        for batch in batches:
            if self._stop.signum is not None:
                return
            yield batch

    def clock(self) -> float:
        """Process 0's at the last exchange."""
        return self._clock

    @contextmanager
    def together(self) -> Generator[None]:  # noqa: D102
        error: MinformError | None = None
        try:
            yield
        except MinformError as raised:
            if self._stop.leaving:  # the second signal waits for nobody
                raise
            error = raised
        failed = [0.0] * self.size
        failed[self.rank] = float(error is not None)
        failed = self._sums(torch.tensor(failed, dtype=torch.float64))
        if any(failed):
            raise self._error_of(failed.index(1.0), error) from error

    def from_leader(self, work: Callable[[], T]) -> T:  # noqa: D102
        values: list[T] = []
        with self.together():
            if self.leads:
                values.append(work())
        values = values or [None]  # type: ignore[list-item]
        dist.broadcast_object_list(values, src=0, device=CPU)
        return values[0]

    def device(self, name: str) -> str:  # noqa: D102
        if name not in ("auto", "cpu", "cuda"):
            raise InputError(
                f"--device {name}: each process of a launch has its own; "
                "accepted: auto, cpu, cuda (the GPU of its number)"
            )
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return "cpu"
        count = torch.cuda.device_count()
        if 0 < count <= self._local_rank:
            raise InputError(
                f"process {self._local_rank + 1} of this machine has no GPU, there are {count}: "
                f"torchrun --nproc-per-node {count}, or --device cpu"
            )
        return f"cuda:{self._local_rank}" if count else name

    def meet_on(self, device: torch.device) -> None:  # noqa: D102
        if device.type == "cuda":
            torch.cuda.set_device(device)
            group = dist.new_group(backend="nccl", timeout=TIMEOUT)
            assert isinstance(group, dist.ProcessGroup), "every process of the launch is in this group"
            self._group = group
        self._device = device

    def wrap(self, model: nn.Module) -> Callable[..., Tensor]:  # noqa: D102
        gpu = None if self._device.type == "cpu" else [self._device]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the option has another name where it has a new one at all
            module = DistributedDataParallel(
                model,
                device_ids=gpu,
                process_group=self._group,
                broadcast_buffers=False,  # buffers are constants here
                gradient_as_bucket_view=True,
            )
        self._wrapped.append(_Exchanged(module))
        return self._wrapped[-1]

    def apart(self) -> AbstractContextManager[object]:  # noqa: D102
        return self._wrapped[-1].apart()

    def leave(self) -> None:
        """Ends the groups and waits for their threads; a wrapped model cannot be used after it.

        A thread that still lets go of an exchanged tensor while the interpreter ends aborts the process. Destroying a
        group waits for its threads if nothing else holds it.
        """
        for wrapped in self._wrapped:
            wrapped.release()
        self._group = None
        dist.destroy_process_group()

    def spread(self, model: nn.Module, optimizer: Optimizer, step: int, average: Tensors | None = None) -> None:  # noqa: D102
        moments = moments_of(model, optimizer)
        if not self.leads:
            like = expected_moments(model, optimizer, step)
            moments = {name: torch.empty_like(tensor, device=self._device) for name, tensor in like.items()}
        for tensors in (weights_of(model), moments, average or {}):
            for name in sorted(tensors):
                dist.broadcast(tensors[name], src=0, group=self._group)
        if not self.leads:
            put_moments(model, optimizer, moments)

    def inputs(self, batch: Batch) -> tuple[tuple[Tensor | None, ...], Tensor]:
        """Those of `batch`; for an empty part a blank example that weighs nothing, as the others wait for gradients."""
        if len(batch.labels):
            return batch.inputs, batch.labels
        return tuple(x if x is None else _blank(x) for x in batch.inputs), batch.labels.new_zeros(1)

    def weighted(self, loss: Tensor, batch: Batch) -> Tensor:  # noqa: D102
        return loss * (len(batch.labels) * self.size / batch.size)  # the exchange takes the mean over processes

    def combined(self, loss: Tensor, correct: Tensor, norm: Tensor, batch: Batch) -> tuple[float, int, float]:  # noqa: D102
        num = len(batch.labels)
        own = torch.stack([loss.detach().double() * num, correct.double() * bool(num)])
        loss_sum, num_correct = self._sums(own)
        return loss_sum / batch.size, int(num_correct), norm.item()

    def gathered(self, pieces: Sequence[Tensor]) -> Tensor:  # noqa: D102
        parts: list[Tensor] = [torch.empty(0)] * self.size
        dist.all_gather_object(parts, super().gathered(pieces))
        return super().gathered([part for part in parts if len(part)])

    def total(self, numbers: Sequence[float]) -> list[float]:  # noqa: D102
        sums = self._sums(torch.tensor(numbers, dtype=torch.float64))
        self.check()
        return sums

    def _sums(self, numbers: Tensor) -> list[float]:
        """The sums over the processes of float64 `numbers`; with them go this process's signal and the clock."""
        riders = [float(self._stop.signum == number) for number in SIGNALS]
        riders.append(time.perf_counter() if self.leads else 0.0)
        sums = torch.cat([numbers, torch.tensor(riders, dtype=torch.float64, device=numbers.device)])
        dist.all_reduce(sums, group=self._group if numbers.device.type != "cpu" else None)
        *values, interrupts, terminations, self._clock = sums.tolist()
        if self._signum is None:
            came = zip(SIGNALS, (interrupts, terminations), strict=True)
            self._signum = next((int(number) for number, count in came if count), None)
        return values

    def _error_of(self, rank: int, own: MinformError | None) -> MinformError:
        """What this process raises when process `rank` was the first that failed."""
        told = [(own.exit_code, str(own))] if own is not None and rank == self.rank else [(0, "")]
        dist.broadcast_object_list(told, src=rank, device=CPU)
        code, message = told[0]
        if not self.leads:
            return Echo(code, message)
        if own is not None and rank == self.rank:
            return own
        message = f"process {rank}: {message}"
        return Interrupted(code - 128, message) if code > 128 else _ERRORS[code](message)


def _blank(x: Tensor) -> Tensor:
    """One example of zeros, where `x` has none; its tokens are all real, as attention to none of them is no number."""
    return torch.full((1, *x.shape[1:]), x.dtype == torch.bool, dtype=x.dtype, device=x.device)


class _Exchanged:
    """A wrapped model whose gradients add up in the same order in every step.

    After its first backward pass `DistributedDataParallel` groups the gradients anew, by the order they came in, and
    among three or more processes another grouping is another order of additions. A run that goes on from a checkpoint
    would have the first grouping where one in one go has the second. So the first pass is made for nothing.
    """

    def __init__(self, module: DistributedDataParallel) -> None:
        self._module = module
        self._grouped = False
        self._apart = False

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        if not self._grouped:
            self._grouped = True
            devices = [x.device for x in inputs[:1] if x is not None and x.device.type == "cuda"]
            with torch.random.fork_rng(devices=devices):  # dropout draws the same in the pass that counts
                self._module(*inputs).sum().backward()
            self._module.zero_grad()
        with self._module.no_sync() if self._apart else nullcontext():
            outputs: Tensor = self._module(*inputs)
        return outputs

    @contextmanager
    def apart(self) -> Generator[None]:
        """Within, what is computed is not exchanged."""
        self._apart = True
        try:
            yield
        finally:
            self._apart = False

    def release(self) -> None:
        """Lets go of the wrapped module, which holds its group."""
        del self._module
