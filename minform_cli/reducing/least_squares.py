"""Least squares over moments that are gathered batch by batch, in float64, and which inputs they can do without.

Row vectors; H are inputs, Y targets, w weights of tokens, R = sum of w h^T h.
Fit: W = argmin sum of w |y - h W - b|^2 + lam |W - P|^2, lam a share of the mean diagonal of R: few tokens draw W
towards what it was before, P. Elimination: input i away costs |W_i|^2 / [R^-1]_ii once all others are fitted anew;
those that cost least go in rounds. Source: Hassibi and Stork 1992, Optimal Brain Surgeon, equation 5.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROUNDS = 48
"""Rounds of an elimination of all inputs."""


def damped(moment: Float[Tensor, "... n n"], share: float) -> Float[Tensor, "... n n"]:
    """R + lam I, lam so large a share of the mean diagonal."""
    mean = moment.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    return moment + share * mean * torch.eye(moment.shape[-1], dtype=moment.dtype)


def power(moment: Float[Tensor, "... n n"], exponent: float) -> Float[Tensor, "... n n"]:
    """R^p by eigenvalues, those near zero raised to a billionth of the largest."""
    values, vectors = torch.linalg.eigh(moment)
    values = values.clamp_min(values.amax(-1, keepdim=True) * 1e-9)
    return (vectors * values[..., None, :] ** exponent) @ vectors.transpose(-1, -2)


class Normal(NamedTuple):
    """Normal equations: R, H^T Y, and what a bias makes up for (zeros where there is none)."""

    inputs: Float[Tensor, "n n"]
    targets: Float[Tensor, "n m"]
    mean_input: Float[Tensor, " n"]
    mean_target: Float[Tensor, " m"]

    def fit(self, prior: Float[Tensor, "n m"], share: float) -> Float[Tensor, "n m"]:
        """W."""
        left = damped(self.inputs, share)
        return torch.linalg.solve(left, self.targets + (left - self.inputs) @ prior)

    def bias(self, weight: Float[Tensor, "n m"]) -> Float[Tensor, " m"]:
        """b that goes with W."""
        return self.mean_target - self.mean_input @ weight

    def of(self, kept: Int[Tensor, " k"]) -> Normal:
        """Those of some inputs."""
        return Normal(self.inputs[kept][:, kept], self.targets[kept], self.mean_input[kept], self.mean_target)

    def turned(self, turn: Float[Tensor, "n k"]) -> Normal:
        """Those of the inputs h `turn`."""
        return Normal(turn.T @ self.inputs @ turn, turn.T @ self.targets, self.mean_input @ turn, self.mean_target)


class Gathered:
    """Sums over tokens, batch by batch.

    Args:
        centred: whether there is a bias that makes up for means.
    """

    def __init__(self, *, centred: bool) -> None:
        self.centred = centred
        self.inputs: Tensor | float = 0.0
        self.targets: Tensor | float = 0.0

    def add(self, rows: Float[Tensor, "p n"], wanted: Float[Tensor, "p m"], weights: Float[Tensor, " p"]) -> None:
        """Some more tokens, whose products are taken in their own type."""
        both = torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
        weighted = (both * weights.unsqueeze(1)).T
        self.inputs = self.inputs + (weighted @ both).double()
        self.targets = self.targets + (weighted @ wanted).double()

    def equations(self) -> Normal:
        """Of all tokens so far."""
        assert isinstance(self.inputs, Tensor) and isinstance(self.targets, Tensor), "nothing was gathered"
        inputs, targets = self.inputs, self.targets
        total, mean, wanted = inputs[-1, -1], inputs[-1, :-1] / inputs[-1, -1], targets[-1] / inputs[-1, -1]
        if not self.centred:
            return Normal(inputs[:-1, :-1], targets[:-1], torch.zeros_like(mean), torch.zeros_like(wanted))
        centred = inputs[:-1, :-1] - total * mean.unsqueeze(1) * mean
        return Normal(centred, targets[:-1] - total * mean.unsqueeze(1) * wanted, mean, wanted)


def elimination(
    moment: Float[Tensor, "n n"], weight: Float[Tensor, "n m"], keep: int
) -> list[tuple[Int[Tensor, " k"], float]]:
    """Inputs that are left, ascending, and the squared error so far, after each round in which the cheapest go.

    Args:
        moment: R, invertible.
        weight: W, fitted.
        keep: how many stay in the end.
    """
    left, inverse, weight = torch.arange(len(moment)), torch.linalg.inv(moment), weight.clone()
    step, error = max(1, len(moment) // ROUNDS), 0.0
    found = [(left, error)]
    while len(left) > keep:
        cost = weight.square().sum(1) / inverse.diagonal()
        going = cost.argsort(stable=True)[: min(step, len(left) - keep)]
        staying = torch.ones(len(left), dtype=torch.bool)
        staying[going] = False
        stay = staying.nonzero()[:, 0]
        right = torch.cat([weight[going], inverse[going][:, stay]], dim=1)
        solved = torch.linalg.solve(inverse[going][:, going], right)
        error += float((weight[going] * solved[:, : weight.shape[1]]).sum())
        change = inverse[stay][:, going] @ solved
        weight, inverse = (
            weight[stay] - change[:, : weight.shape[1]],
            inverse[stay][:, stay] - change[:, weight.shape[1] :],
        )
        left = left[stay]
        found.append((left, error))
    return found


def kept_inputs(moment: Float[Tensor, "n n"], weight: Float[Tensor, "n m"], keep: int) -> Int[Tensor, " k"]:
    """The `keep` inputs that are left of `elimination`."""
    return elimination(moment, weight, keep)[-1][0]
