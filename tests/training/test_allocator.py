"""Freed memory is kept for the next step, and given back at the end."""

from __future__ import annotations

import platform
import resource

import pytest
import torch

from minform_cli.training.allocator import keeps_freed_memory


def faults() -> int:
    """Pages that the system had to clear while large tensors came and went."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**21)  # 8 MiB, 2,048 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_tensors_that_come_and_go_get_the_same_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    with keeps_freed_memory() as kept:
        assert kept
        faults()
        assert faults() < 2_048  # at most one of twenty anew


def test_what_the_user_has_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "100000")
    with keeps_freed_memory() as kept:
        assert not kept
