"""The ways to make a model smaller, behind one function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from minform_cli.config import legality
from minform_cli.config.presets import read_variant
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.config.setting import Setting
from minform_cli.config.validation import build
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError
from minform_cli.models.build import build_model
from minform_cli.models.stack import Encoder
from minform_cli.reducing.asked import parse_budget
from minform_cli.reducing.calibrated import applies_to, calibrated
from minform_cli.reducing.costs import Costs
from minform_cli.reducing.exact import apply_exact
from minform_cli.reducing.moments import moments_of
from minform_cli.reducing.neurons import fewer_neurons
from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.records import ExactRecord

_SIZES = ("dim", "depth", "decoder_depth", "patch_size")
"""Of a model, at which alone weights are taken over; and the width of all heads together."""


@dataclass(frozen=True, kw_only=True)
class Smaller:
    """A model that was made smaller.

    Attributes:
        config: of it; `variant` says how it was made, `baseline` is the model it was made of.
        model: it, on the CPU.
        exact: each exact reduction, where those were asked for.
        errors: of each layer and each stack, what the method itself says of its parts.
        steps: what was done, a sentence each.
        kept: which block of the original, from 0, each block was; none: there are as many.
    """

    config: RunConfig
    model: nn.Module
    exact: tuple[ExactRecord, ...] = ()
    steps: tuple[str, ...] = ()
    kept: tuple[int, ...] = ()


def made_smaller(
    original: nn.Module,
    config: RunConfig,
    spec: DataSpec,
    costs: Costs | None,
    options: ReduceOptions,
    budget: str | None,
) -> Smaller:
    """`original` made smaller as `options` say.

    Args:
        original: the model; left as it is.
        config, spec: of its run.
        costs: of what may go, on the calibration examples; None: without data.
        options: which way.
        budget: the one of them that is to be met, where a budget is.

    Raises:
        InputError: a name is unknown, a budget cannot be met, or the way does not apply to the model.
    """
    if options.variant is not None:
        return _forced(original, config, spec, options.variant, costs)
    if options.exact:
        return _exactly(original, config, spec, options)
    assert budget is not None, "options say one way"
    asked, found = parse_budget(budget), None
    others = [part for part in options.only if part != "mlp"]
    if costs is None and others:
        raise InputError(f"--only {others[0]}: is chosen on data; accepted without: mlp")
    if costs is not None and applies_to(original, config.model):
        found = calibrated(config, spec, costs, asked)
    elif others:
        raise InputError(
            f"--only {others[0]}: is taken from encoders of separate queries, keys, values and outputs, which "
            f"{config.preset} {config.variant} is not; accepted: mlp"
        )
    name = f"reduced-{budget}"
    if found is not None:
        kept = found.kept if len(found.kept) < config.model.depth else ()
        made = found.config.model_copy(update={"variant": name})
        return Smaller(config=made, model=found.model, steps=found.steps, kept=kept)
    made, model = fewer_neurons(original, config, spec, None if costs is None else costs.batches, asked)
    return Smaller(config=made.model_copy(update={"variant": name}), model=model)


def _forced(original: nn.Module, config: RunConfig, spec: DataSpec, variant: str, costs: Costs | None) -> Smaller:
    """A known variant, each part with the weights that it makes of those in its place."""
    settings = {f"model.{key}": value for key, value in config.model.model_dump(mode="json").items()}
    own = read_variant(variant).settings
    values = settings | {key: setting.value for key, setting in own.items()}
    names = {"preset": config.preset, "data": config.data}
    model = build(names, values, {key: setting.origin for key, setting in own.items()}).model
    legality.check(model, origins={key: setting.origin for key, setting in own.items()})
    _check_sizes(config.model, model, own)
    made = config.model_copy(update={"model": model, "variant": variant, "baseline": config.baseline or config.model})
    with torch.random.fork_rng(devices=[]):
        built = cast("Encoder[Any]", build_model(made, spec))
    with moments_of(original, built, () if costs is None else costs.batches):
        built.from_separate(cast("Encoder[Any]", original))
    return Smaller(config=made, model=built)


def _check_sizes(given: ModelConfig, wanted: ModelConfig, own: Mapping[str, Setting]) -> None:
    """Raises `InputError` where a variant asks for sizes at which weights of `given` are not taken over."""
    for name in _SIZES:
        theirs, ours = getattr(given, name), getattr(wanted, name)
        key = f"model.{name}"
        if theirs != ours and key in own:
            raise InputError(
                f"{key} {ours} makes a model of another size than that of the run, whose weights are to be taken over; "
                f"accepted: {theirs} ({key} from {own[key].origin})"
            )
    if given.inner_dim != wanted.inner_dim:
        key = next(key for key in ("model.head_width", "model.heads") if key in own)
        raise InputError(
            f"{key} {own[key].value}: all heads together are {wanted.inner_dim} wide, and those of the run, whose "
            f"weights are to be taken over, {given.inner_dim}; accepted: as many ({key} from {own[key].origin})"
        )


def _exactly(original: nn.Module, config: RunConfig, spec: DataSpec, options: ReduceOptions) -> Smaller:
    """Everything away whose absence no output shows."""
    found = apply_exact(original, config, spec, segments=options.segments)
    reductions = tuple(
        ExactRecord(reduction=each.name, numbers=each.numbers, why_not=each.why_not) for each in found.reductions
    )
    if not any(each["numbers"] for each in reductions):
        raise InputError(f"--exact: nothing of {config.preset} {config.variant} can go without a change of its outputs")
    return Smaller(config=found.config, model=found.model, exact=reductions)
