"""Exact reductions of a trained model: the same outputs, to rounding, with fewer numbers.

`exact_plan` (in `counting.exact`) says what applies to a config; here its weights are made, in float64: gains and
biases of norms go into the maps that read them, and every part then takes its weights out of those of the part that it
replaces, each as its file says. A gauge is left alone where its pivots are so badly conditioned that rounding would be
seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from minform_cli.config.axes.norm import Norm
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.counting.exact import ExactPlan, ExactReduction, exact_plan
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError
from minform_cli.models.block import Block
from minform_cli.models.build import build_model
from minform_cli.models.fold import fold_last, fold_sublayers
from minform_cli.models.parts.attention import Attention, new_attention
from minform_cli.models.parts.base import Convertible
from minform_cli.models.stack import Encoder, EncoderDecoder

VARIANT = "exact"
"""How a run is called whose model was reduced exactly."""


@dataclass(frozen=True, kw_only=True)
class Exact:
    """A model reduced exactly.

    Attributes:
        config: what it is; shares refer to the model before.
        model: it, with as precise numbers, on the device and in the mode of the one before.
        reductions: what went, and what did not, with reasons.
    """

    config: RunConfig
    model: nn.Module
    reductions: tuple[ExactReduction, ...]


def exact_reductions(config: RunConfig, spec: DataSpec, *, segments: int | None = None) -> tuple[ExactReduction, ...]:
    """What could go of the config's model, its head included, weights unseen; arguments as of `exact_plan`."""
    return exact_plan(config, spec, segments=segments).reductions


def apply_exact(model: nn.Module, config: RunConfig, spec: DataSpec, *, segments: int | None = None) -> Exact:
    """`model` with every exact reduction that applies; it is left as it is.

    Args:
        model: of `config`, for the examples of `spec`.
        config: the run.
        spec: of the examples: the longest says which positions are reached.
        segments: sentences of an example, where somebody knows.
    """
    source = cast("Encoder[Any]", deepcopy(model).double())
    plan = exact_plan(config, spec, segments=segments)
    _fold(source, config.model, plan.model)
    refused = dict(_refusals(source, plan.model))
    if refused:
        plan = exact_plan(config, spec, segments=segments, refused=refused)
    made = _named(config, plan)
    first = next(model.parameters())
    # Random numbers are drawn that nobody sees: those of the caller stay as they are.
    with torch.random.fork_rng(devices=[]), torch.device(first.device):
        built = cast("Encoder[Any]", build_model(made, spec).double())
    built.from_separate(source)
    return Exact(config=made, model=built.to(first.dtype).train(model.training), reductions=plan.reductions)


def _named(config: RunConfig, plan: ExactPlan) -> RunConfig:
    if plan.model == config.model:
        return config
    update = {"model": plan.model, "variant": VARIANT, "baseline": config.baseline or config.model}
    return config.model_copy(update=update)


def _fold(source: Encoder[Any], before: ModelConfig, after: ModelConfig) -> None:
    """Empties those norms of `source` that have no numbers in the model that is made of it."""
    blocks = [(number, cast(Block, block)) for number, block in enumerate(source.blocks)]
    if isinstance(source, EncoderDecoder):
        blocks += [(number, cast(Block, block)) for number, block in enumerate(source.decoder_blocks)]
    for number, block in blocks:
        if _numbers(before, number, last=False) > _numbers(after, number, last=False):
            fold_sublayers(block)
    if any(_numbers(before, n, last=True) > _numbers(after, n, last=True) for n in range(before.num_blocks)):
        fold_last(source)


def _numbers(model: ModelConfig, block: int, *, last: bool) -> int:
    """Of a norm of that block, or of the one after the last block if that is it."""
    own = model.at(min(block, model.num_blocks - 1))
    norm = cast(Norm, own.norm)
    form = norm.last(own) if last else norm.form(own)
    return 0 if form is None else sum(each.numbers for each in form.holds)


def _refusals(source: Encoder[Any], after: ModelConfig) -> Iterator[tuple[tuple[str, int], str]]:
    """Axis and block, and why the part that `after` has there would lose too much to rounding."""
    stacks = [list(source.blocks)]
    if isinstance(source, EncoderDecoder):
        stacks.append(list(source.decoder_blocks))
    for stack in stacks:
        for number, block in enumerate(stack):
            own = after.at(min(number, after.num_blocks - 1))
            attentions = (cast(Block, block).attention, cast(Block, block).cross)
            for theirs in filter(None, attentions):
                with torch.random.fork_rng(devices=[]):
                    made = cast(Attention, new_attention(own)).double()
                for axis in ("similarity", "value"):
                    part: Convertible = getattr(made, axis)
                    try:
                        part.from_separate(getattr(theirs, axis), made.similarity)
                    except InputError as error:
                        yield (axis, number), str(error)
