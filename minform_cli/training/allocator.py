"""Memory that a step has freed, kept for the next one.

A training step on a CPU allocates and frees the same large tensors every time. As it comes, glibc hands them back to
the system, which then has to clear every page of them anew: a tenth to a third of a step (docs/performance.md). No
number changes by it.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""
_LARGEST = 32 * 2**20
"""Bytes: the largest threshold that glibc takes, and the one its own adjustment ends at."""
_KEPT = 2**30
"""Bytes at the end of the heap that are kept."""
_USUAL = 128 * 2**10
"""Bytes: what glibc keeps there when nobody has said anything."""
_ASKED = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Variables by which somebody has chosen already, or brought another allocator."""


@contextmanager
def keeps_freed_memory() -> Generator[bool]:
    """Keeps it inside the context, and gives it back to the system at its end; whether it does.

    It does not without glibc, nor where the user's environment has chosen how memory is kept.
    """
    libc = _glibc()
    if libc is None:
        yield False
        return
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
    libc.mallopt(_TRIM_THRESHOLD, _KEPT)
    try:
        yield True
    finally:
        libc.mallopt(_TRIM_THRESHOLD, _USUAL)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc" or any(os.environ.get(name) for name in _ASKED):
        return None
    try:
        libc = ctypes.CDLL(None)
        return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
    except OSError:
        return None
