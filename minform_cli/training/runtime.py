"""The machine under a run: device, threads, seeds, and a record of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from minform_cli.errors import InputError, MachineError, counted, unknown_name
from minform_cli.models.parts.products import told
from minform_cli.runs.environment import environment as described
from minform_cli.training.allocator import keeps_freed_memory

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Runtime:
    """Where a run computes: the device, how many CPU threads, and how the device came to be chosen."""

    device: torch.device
    threads: int
    note: str


def choose_device(name: str) -> tuple[torch.device, str]:
    """The device for `name` (``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``), and a sentence for the user.

    Raises:
        InputError: the name is unknown, or the device asked for is not there. Only ``auto`` ever chooses.
    """
    kind, _, index = name.partition(":")
    if kind not in DEVICES or (index and (kind != "cuda" or not index.isdecimal())):
        raise unknown_name("device", name, DEVICES, "--device")
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if kind == "auto":
        chosen = "cuda" if cuda else "mps" if mps else "cpu"
        absent = "" if chosen != "cpu" else ": no CUDA or MPS device here"
        return torch.device(chosen), f"device: {chosen} (auto{absent})"
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        there = ["auto", "cpu", *(["cuda"] if cuda else []), *(["mps"] if mps else [])]
        raise InputError(f"--device {name}: this machine has no such device for torch; accepted: {', '.join(there)}")
    if index and int(index) >= torch.cuda.device_count():
        raise InputError(
            f"--device {name}: this machine has {counted(torch.cuda.device_count(), 'CUDA device')}, from cuda:0"
        )
    return torch.device(name), f"device: {name}"


@contextmanager
def runtime(device: str, threads: int | None) -> Generator[Runtime]:
    """Sets threads and determinism for a run, and leaves torch as it was found, random state included.

    Args:
        device: as `choose_device` takes it.
        threads: CPU threads; None keeps what torch has (``OMP_NUM_THREADS`` where set).

    Raises:
        InputError: the device is not there, or `threads` is not positive.
        MachineError: memory ran out inside the context.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads: {threads} is not a positive number")
    chosen, note = choose_device(device)
    threads_before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        forked = torch.random.fork_rng(devices=[chosen] if chosen.type == "cuda" else [])
        with deterministic(chosen), forked, keeps_freed_memory() if chosen.type == "cpu" else nullcontext():
            yield Runtime(chosen, torch.get_num_threads(), note)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _out_of_memory(chosen) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise _out_of_memory(chosen) from error
        raise
    finally:
        torch.set_num_threads(threads_before)


@contextmanager
def deterministic(device: torch.device) -> Generator[None]:
    """Within, equal steps on `device` have equal bits; afterwards torch is as it was found.

    Without it, sums on a GPU end in whatever order its blocks finish. Nothing may be let off with a warning: the
    backward passes of torch's fused attention (flash, memory-efficient) are deterministic only where an operation that
    is not would be an error, and only then cuDNN's attention, which never is, is passed over.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _out_of_memory(device: torch.device) -> MachineError:
    return MachineError(
        f"out of memory on {device}; try a smaller train.batch_size, train.eval_batch_size or model, "
        "the last checkpoint stays"
    )


def derive_seed(seed: int, purpose: str, number: int = 0) -> int:
    """A seed for one purpose at one step: a hash, so that neighbours share nothing and every platform agrees."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def device_seeder(device: torch.device) -> Callable[[int], object]:
    """The function that seeds random numbers on `device` alone.

    `torch.manual_seed` seeds every kind of device there could be: a hundred times as long, at every step.
    """
    if device.type == "cuda":
        return torch.cuda.manual_seed
    if device.type == "mps":
        return torch.mps.manual_seed
    return torch.default_generator.manual_seed


def environment(used: Runtime, processes: int = 1, stacked: int = 1) -> dict[str, Any]:
    """What a result must say about where it was made; no time, no path, no host name.

    Args:
        used: device and threads of the process, of the first if there are several.
        processes: that train the model.
        stacked: how many runs were trained as one model; said where there were several.
    """
    machine = {**described(used.device, used.threads, processes), "attention": told(used.device)}
    return machine | ({"stacked": stacked} if stacked > 1 else {})
