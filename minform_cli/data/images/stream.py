"""Batches of images read from files by worker processes, in the order asked for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from minform_cli.data.images.files import ImageFiles
from minform_cli.data.images.pixels import Pixels
from minform_cli.errors import InputError

MAX_WORKERS = 8


def read_batches(files: ImageFiles, batches: Sequence[NDArray[np.int64]]) -> Iterator[Pixels]:
    """The pixels (B, C, H, W) of each batch of indices into `files`, in order; each worker decodes whole batches.

    Raises:
        InputError: a file is missing, damaged or of another shape.
    """
    if not batches:
        return
    loader = DataLoader(
        _FileBatches(files, batches),
        batch_size=None,  # the data set gives whole batches
        num_workers=min(num_workers(), len(batches)),
        prefetch_factor=1,  # one batch waits per worker: enough for an even flow, and little memory
        collate_fn=_unchanged,  # type: ignore[arg-type]  # declared for lists of examples alone
        worker_init_fn=_leave_signals_to_the_parent,
        # Without one of its own the loader would draw from the global generator, and dropout would differ on resume.
        generator=torch.Generator(),
    )
    for result in loader:
        if isinstance(result, InputError):
            raise result
        yield result


def num_workers() -> int:
    """Processes that read: one for each processor this process may use, but one, which trains."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MAX_WORKERS, usable - 1))


class _FileBatches(Dataset[Pixels | InputError]):
    def __init__(self, files: ImageFiles, batches: Sequence[NDArray[np.int64]]) -> None:
        self._files = files
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Pixels | InputError:
        try:
            return self._files[self._batches[number]].read_all()
        except InputError as error:  # as a value: raised in a worker it would arrive wrapped in a traceback
            return error


def _unchanged(batch: Pixels | InputError) -> Pixels | InputError:
    """Arrays pass through a pipe as they are; as tensors they would need shared memory, which containers ration."""
    return batch


def _leave_signals_to_the_parent(worker: int) -> None:  # noqa: ARG001  (DataLoader's signature)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
