"""Attention on a CPU as two products and a softmax, with its backward pass written out.

torch's fused kernel for CPUs never holds all scores; for short sequences that saves little. Which of the two is faster
is a matter of the processor: `suits` knows, and docs/performance.md has the figures. Same formula, other rounding.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

LONGEST = 65
"""Tokens on either side up to which products are taken."""
SMALL = 40.0
"""Scores up to this size go through exp as they are: sums of e^40 stay finite, and no row of e^-40 is lost to zero."""


def suits(queries: Tensor, keys: Tensor) -> bool:
    """Whether products are the faster way, where nothing is hidden or dropped: a function of processor and shape.

    With AVX-512 the fused kernel is as fast or faster; without, it is slower, and the more so the more threads there
    are.
    """
    if not preferred() or queries.device.type != "cpu" or max(queries.shape[2], keys.shape[2]) > LONGEST:
        return False
    if torch.compiler.is_compiling():  # pyright: ignore[reportPrivateImportUsage]
        return False  # how its numbers are looked at cannot be compiled
    return queries.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")


@cache
def preferred() -> bool:
    """Whether products are preferred on this processor at all."""
    return torch.backends.cpu.get_cpu_capability() != "AVX512"


def told(device: torch.device) -> str:
    """How attention is computed on `device`, for those who compare runs of different machines."""
    if device.type != "cpu" or not preferred():
        return "fused"
    return f"products up to {LONGEST} tokens"


def attend(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """softmax(queries keys^T scale) values, as `torch.nn.functional.scaled_dot_product_attention` has it.

    Args:
        queries: (B, H, T, E).
        keys: (B, H, S, E).
        values: (B, H, S, F).
        scale: of the scores.

    Returns:
        (B, H, T, F).
    """
    mixed: Tensor = _Products.apply(queries, keys, values, scale)
    return mixed


class _Products(torch.autograd.Function):
    """Saved for the backward pass: both sides, values and weights, head by head: so whole rows are copied."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        q = _flat(queries)
        k = q if keys is queries else _flat(keys)
        v = k if values is keys else _flat(values)
        scores = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=scale)
        weights = _softmax_(scores)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale, ctx.lead = scale, (queries.shape[1], queries.shape[0])
        return _by_example(torch.bmm(weights, v), ctx.lead)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        wanted, scale, lead = ctx.needs_input_grad, ctx.scale, ctx.lead
        grad = _flat(grads[0])
        of_queries = of_keys = of_values = None
        if wanted[2]:
            of_values = _by_example(torch.bmm(weights.mT, grad), lead)
        if wanted[0] or wanted[1]:
            of_scores = torch.ops.aten._softmax_backward_data(torch.bmm(grad, v.mT), weights, -1, weights.dtype)
            if wanted[0]:
                of_queries = _by_example(torch.baddbmm(q, of_scores, k, beta=0, alpha=scale), lead)
            if wanted[1]:
                of_keys = _by_example(torch.baddbmm(k, of_scores.mT, q, beta=0, alpha=scale), lead)
        return of_queries, of_keys, of_values, None


def _flat(x: Tensor) -> Tensor:
    """(B, H, T, E) -> (H B, T, E), contiguous."""
    return x.transpose(0, 1).reshape(-1, *x.shape[2:])


def _by_example(x: Tensor, lead: tuple[int, int]) -> Tensor:
    """(H B, T, E) -> (B, H, T, E), a view."""
    return x.unflatten(0, lead).transpose(0, 1)


def _softmax_(scores: Tensor) -> Tensor:
    """Softmax over the last axis, in place.

    What torch subtracts first, the largest of each row, takes longer than everything else where rows are short. Where
    all scores are small nothing needs to be subtracted.
    """
    least, most = torch.aminmax(scores)
    if not (float(least) >= -SMALL and float(most) <= SMALL):  # where one is no number, too
        scores.sub_(scores.amax(-1, keepdim=True))
    scores.exp_()
    return scores.div_(scores.sum(-1, keepdim=True))
