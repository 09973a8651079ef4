"""Hidden units of MLPs away, until a budget is met: those that say least, and least squares over those that stay.

Row vectors; h are the hidden units of a block's MLP over the calibration tokens, R = sum of h^T h, w_j row j of W_2.
Which go: of every MLP the same share, those of the least R_jj |w_j|^2.
What stays: W_2' = (R_KK + lam I)^-1 R_K: W_2 with lam a share of the mean diagonal, so that the MLP's output is met
best on the calibration tokens. Without data R is the identity.
Source: Molchanov et al. 2017, arXiv 1611.06440 (what a unit says); Kwon et al. 2022, arXiv 2204.09656 (least squares).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from minform_cli.config.axes.base import PartOptions
from minform_cli.config.axes.mlp import WithHidden
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError
from minform_cli.models.build import build_model
from minform_cli.models.parts.linear import read_map, write_map
from minform_cli.models.parts.mlp import TwoMaps
from minform_cli.reducing.asked import Budget
from minform_cli.reducing.calibration import Inputs
from minform_cli.runs.tensors import put_weights, weights_of

DAMPING = 1e-4
"""lam over the mean diagonal of R."""


def fewer_neurons(
    original: nn.Module, config: RunConfig, spec: DataSpec, batches: Sequence[Inputs] | None, budget: Budget
) -> tuple[RunConfig, nn.Module]:
    """`original` with as many hidden units as the budget lets; its config with the width of each block.

    Args:
        original: an encoder; left as it is.
        config, spec: of it.
        batches: of calibration; None: without data.
        budget: that is met, by less than one unit.

    Raises:
        InputError: there is no such MLP, or what cannot go is more than the budget.
    """
    blocks = list(cast("Sequence[Any]", original.blocks))
    mlps = [block.mlp if isinstance(block.mlp, TwoMaps) else None for block in blocks]
    if config.model.decoder_depth or not any(mlps):
        raise InputError(f"--budget: {config.preset} has no encoder with MLPs of two maps, of which it takes units")
    now = sum(parameter.numel() for parameter in cast(nn.Module, original.blocks).parameters())
    whole = sum(parameter.numel() for parameter in original.parameters())
    moments = _moments(original, mlps, batches)
    unit = _numbers_of_a_unit(mlps)
    drop = -(-(now - budget.allowed(now, whole)) // unit)
    if drop <= 0:
        raise InputError(f"--budget {budget.text}: the model has {whole:,} parameters already, {now:,} in its blocks")
    kept = _kept(mlps, moments, drop)
    if kept is None:
        fixed = now - unit * sum(len(moment) - 1 for moment in moments if moment is not None)
        least = f"{-(-1000 * fixed // now) / 10:.1f}%" if budget.share is not None else f"{whole - now + fixed:,}"
        raise InputError(f"--budget {budget.text}: less than what cannot go; the least is {least}")
    return _built(original, config, spec, (mlps, moments, kept))


def _numbers_of_a_unit(mlps: Sequence[TwoMaps | None]) -> int:
    (w_1, b_1), (w_2, _) = next((read_map(mlp.w_1), read_map(mlp.w_2)) for mlp in mlps if mlp is not None)
    has_bias = int(any(name.endswith("w_1.bias") for mlp in mlps if mlp for name, _ in mlp.named_parameters()))
    assert len(b_1) == w_1.shape[1]
    return w_1.shape[0] + w_2.shape[1] + has_bias


@torch.no_grad()
def _moments(model: nn.Module, mlps: Sequence[TwoMaps | None], batches: Sequence[Inputs] | None) -> list[Tensor | None]:
    """R of each MLP, float64."""
    widths = [None if mlp is None else read_map(mlp.w_1).weight.shape[1] for mlp in mlps]
    if batches is None:
        return [None if width is None else torch.eye(width, dtype=torch.float64) for width in widths]
    found: list[Tensor | None] = [
        None if width is None else torch.zeros(width, width, dtype=torch.float64) for width in widths
    ]
    seen: list[Tensor | None] = [None]

    def keeper(moment: Tensor) -> Any:
        def keep(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
            real = seen[0]
            rows = given[0] if real is None or real.shape != given[0].shape[:2] else given[0][real]
            rows = rows.flatten(0, -2).double()
            moment.add_(rows.T @ rows)

        return keep

    hooks = [
        mlp.w_2.register_forward_pre_hook(keeper(moment))
        for mlp, moment in zip(mlps, found, strict=True)
        if mlp is not None and moment is not None
    ]
    try:
        for inputs in batches:
            seen[0] = inputs[2] if len(inputs) > 2 else None
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _kept(mlps: Sequence[TwoMaps | None], moments: Sequence[Tensor | None], drop: int) -> list[Tensor | None] | None:
    """Units of each MLP that stay, ascending, once `drop` of all are away; None: there are too few."""
    scores: list[Tensor] = []
    for mlp, moment in zip(mlps, moments, strict=True):
        if mlp is None or moment is None:
            scores.append(torch.zeros(0, dtype=torch.float64))
            continue
        w_2 = read_map(mlp.w_2).weight.detach().double()
        said = moment.diagonal() * w_2.square().sum(1)
        place = said.argsort(stable=True).argsort(stable=True).double() / len(said)
        place[place.argmax()] = torch.inf  # one stays in every block
        scores.append(place)
    every = torch.cat(scores)
    if drop > int(every.isfinite().sum()):
        return None
    gone = torch.zeros(len(every), dtype=torch.bool)
    gone[every.argsort(stable=True)[:drop]] = True
    parts = (~gone).split([len(score) for score in scores])
    return [None if mlp is None else part.nonzero()[:, 0] for mlp, part in zip(mlps, parts, strict=True)]


_Chosen = tuple[Sequence[TwoMaps | None], Sequence[Tensor | None], Sequence[Tensor | None]]


def _built(original: nn.Module, config: RunConfig, spec: DataSpec, chosen: _Chosen) -> tuple[RunConfig, nn.Module]:
    """The narrower model, with the weights of the other for all that stays."""
    mlps, moments, kept = chosen
    made = config.model_copy(
        update={"model": _narrower(config.model, kept), "baseline": config.baseline or config.model}
    )
    with torch.random.fork_rng(devices=[]):
        built = build_model(made, spec)
    theirs, own = weights_of(original), weights_of(built)
    put_weights(built, {name: theirs[name] if _same(theirs, name, own[name]) else own[name] for name in own})
    for block, mlp, moment, units in zip(cast("Sequence[Any]", built.blocks), mlps, moments, kept, strict=True):
        if mlp is None or moment is None or units is None:
            continue
        (w_1, b_1), (w_2, b_2) = read_map(mlp.w_1), read_map(mlp.w_2)
        write_map(block.mlp.w_1, w_1[:, units], b_1[units])
        write_map(block.mlp.w_2, _fitted(moment, w_2.detach(), units), b_2)
    return made, built.eval()


def _same(theirs: dict[str, Tensor], name: str, own: Tensor) -> bool:
    return name in theirs and theirs[name].shape == own.shape


def _fitted(moment: Tensor, w_2: Tensor, units: Tensor) -> Tensor:
    """W_2', in the type of W_2."""
    own = moment[units][:, units]
    damping = DAMPING * own.diagonal().mean()
    left = own + damping * torch.eye(len(units), dtype=own.dtype)
    return torch.linalg.solve(left, moment[units] @ w_2.double()).to(w_2.dtype)


def _narrower(model: ModelConfig, kept: Sequence[Tensor | None]) -> ModelConfig:
    """The config with the width of each block's MLP."""
    parts: list[PartOptions] = []
    for number, units in enumerate(kept):
        own = model.at(number).mlp
        parts.append(own if units is None else cast(WithHidden, own).model_copy(update={"width": len(units)}))
    described = [part.model_dump(mode="json") for part in parts]
    return ModelConfig.model_validate({**model.model_dump(mode="json"), "mlp": described})
