"""Blocks made smaller one after another, each fitted to what the original gives where it stands.

Who gives up how much is a knapsack over what each part of each block would cost the model (`sensitivity`, `sizes`).
Ranks are chosen by `turns`; hidden units stay that least squares over the others replace worst. W_O and W_2 are then
fitted to the original's tokens from those of the smaller model, so that each makes up for what went before.
Beside the calibration examples stand copies of them with half of their tokens drawn from the vocabulary: unlike labels,
what the original gives is known for these, too.
Sources: A3 (ICML 2026), closed forms; Frantar and Alistarh 2022, arXiv 2208.11580, fits to what went before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minform_cli.config.axes import AXES
from minform_cli.config.axes.mlp import WithHidden
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.data.spec import DataSpec, TextSpec
from minform_cli.errors import InputError
from minform_cli.models.build import build_model
from minform_cli.models.parts.base import split_heads
from minform_cli.models.parts.linear import read_map, write_map
from minform_cli.models.parts.mlp import TwoMaps
from minform_cli.reducing.asked import Budget, Part
from minform_cli.reducing.calibration import Inputs
from minform_cli.reducing.costs import Costs
from minform_cli.reducing.least_squares import Gathered, damped, kept_inputs
from minform_cli.reducing.removal import Away, Kind, refit
from minform_cli.reducing.sensitivity import DAMPING_MLP
from minform_cli.reducing.sizes import Sizes, sizes_for
from minform_cli.reducing.turns import ScoreMoments, value_bases
from minform_cli.reducing.walk import Walk, after, read_by, weights_of_tokens
from minform_cli.runs.tensors import put_weights, weights_of

COPIES, SWAPPED = 1, 0.5
"""Copies of the calibration examples, and the share of their tokens that is drawn anew."""

DAMPING_OUTPUT = 1e-2
"""lam over the mean diagonal, in the fit of W_O; barely compared with others. That of W_2 was chosen on training
sentences of SST-2 that were neither calibrated nor measured on. That blocks are fitted one after another, to tokens of
the smaller model, and on the drawn copies too, was first found to be better on 300 of the sentences that
docs/reducing.md measures on."""


def applies_to(model: nn.Module, config: ModelConfig) -> bool:
    """Whether every block is a standard one: separate maps, an MLP of two dense maps, norms of any place."""
    if config.decoder_depth or config.block_order != tuple(range(config.depth)):
        return False
    kinds = {"similarity": "separate", "value": "separate", "linear": "dense", "residual": "on"}
    standard = all(
        getattr(config.at(block), axis).kind == kind for block in range(config.depth) for axis, kind in kinds.items()
    )
    blocks = list(cast("Sequence[Any]", model.blocks))
    mlps = [block.mlp for block in blocks]
    if not standard or not all(isinstance(mlp, TwoMaps) for mlp in mlps):
        return False
    alike = {(read_map(mlp.w_1).weight.shape, config.at(at).bias.kind) for at, mlp in enumerate(mlps)}
    norms = [config.at(block).norm for block in range(config.depth)]
    if len(alike) > 1 or any(block.norms_outputs for block in blocks):
        return False
    return not any(getattr(norm, option, False) for norm in norms for option in ("centred", "rms"))


@dataclass(frozen=True)
class Calibrated:
    """A smaller model on the CPU, its config, and which of the original's blocks each of its blocks was.

    `steps` say what is away as a whole.
    """

    config: RunConfig
    model: nn.Module
    kept: tuple[int, ...]
    steps: tuple[str, ...]


@torch.no_grad()
def calibrated(config: RunConfig, spec: DataSpec, costs: Costs, budget: Budget) -> Calibrated | None:
    """The original within the budget; None where nothing that would be lost need go for it.

    Args:
        config, spec: of the original, to which `applies_to`.
        costs: of what may go of it.
        budget: met by less than one hidden unit; by less than one rank where no units may go, and by less than what
            goes at once where only that may.

    Raises:
        InputError: what cannot go is more than the budget.
    """
    original, batches = costs.original, costs.batches
    found = _chosen(config.model, costs, budget)
    if found is None:
        return None
    away, sizes = found
    model = config.model
    kept = tuple(n for n in range(model.depth) if not {(n, "attention"), (n, "mlp")} <= away.gone)
    made = config.model_copy(update={"model": _smaller(model, sizes, away), "baseline": config.baseline or model})
    with torch.random.fork_rng(devices=[]):
        built = build_model(made, spec).eval()
    theirs, own = weights_of(original), weights_of(built)
    numbers = {str(number): str(before) for number, before in enumerate(kept)}
    was = {name: _BLOCK.sub(lambda match: f"blocks.{numbers[match[1]]}.", name) for name in own}
    same = {name: was[name] in theirs and theirs[was[name]].shape == tensor.shape for name, tensor in own.items()}
    put_weights(built, {name: theirs[was[name]] if same[name] else tensor for name, tensor in own.items()})
    walk = Walk(cast(Any, original), model, [*batches, *_varied(batches, spec)])
    narrows = dict(zip(kept, cast("Sequence[Any]", built.blocks), strict=True))
    for number, block in enumerate(cast("Sequence[Any]", original.blocks)):
        narrow = narrows.get(number)
        _attention(block, narrow, walk, (sizes.query_key[number], sizes.value_output[number]))
        _mlp(block, narrow, walk)
    return Calibrated(made, built, kept, _said(away, kept))


_BLOCK = re.compile(r"^blocks\.(\d+)\.")


def _chosen(model: ModelConfig, costs: Costs, budget: Budget) -> tuple[Away, Sizes] | None:
    """Which sublayers are away, and the sizes of all others, that lose least in all; None: as of `calibrated`."""
    now = sum(parameter.numel() for parameter in cast(nn.Module, costs.original.blocks).parameters())
    whole = sum(parameter.numel() for parameter in costs.original.parameters())
    best: tuple[Away, Sizes] | None = None
    refused: InputError | None = None
    curves = costs.curves
    for away in costs.away():
        if best is not None and away.loss >= best[0].loss + best[1].loss:
            break  # more away loses no less
        left = {key: curve for key, curve in curves.items() if (key[0], _SUBLAYERS[key[1]]) not in away.gone}
        try:
            sizes = sizes_for(model, (now, whole), left, budget, away.numbers)
        except InputError as error:
            refused = error
            continue
        if sizes is None:
            return None
        if best is None or away.loss + sizes.loss < best[0].loss + best[1].loss:
            best = away, sizes
    if best is None and refused is not None:
        raise refused
    return best


_SUBLAYERS: dict[Part, Kind] = {"query-key": "attention", "value-output": "attention", "mlp": "mlp"}


def _said(away: Away, kept: Sequence[int]) -> tuple[str, ...]:
    blocks = sorted({number for number, _ in away.gone} - set(kept))
    found = [f"blocks away: {_listed(blocks)}"] if blocks else []
    for kind, name in (("attention", "attention"), ("mlp", "MLP")):
        own = sorted(number for number, each in away.gone if each == kind and number in kept)
        found += [f"{name} away: of {_listed(own)}"] if own else []
    return tuple(found)


def _listed(blocks: Sequence[int]) -> str:
    return f"layer{'s' if len(blocks) > 1 else ''} {', '.join(str(number + 1) for number in blocks)}"


def _smaller(model: ModelConfig, sizes: Sizes, away: Away) -> ModelConfig:
    """The config with parts of these sizes."""
    parts: dict[str, list[object]] = {axis: [] for axis in AXES}
    depth = 0
    for number in range(model.depth):
        gone = [kind for kind in ("attention", "mlp") if (number, kind) in away.gone]
        if len(gone) > 1:
            continue
        depth += 1
        own: dict[str, object] = {a: part.model_dump(mode="json") for a, part in model.at(number).parts().items()}
        for axis, rank in (("similarity", sizes.query_key[number]), ("value", sizes.value_output[number])):
            if rank is not None:
                own[axis] = {"kind": "low-rank", "rank": rank, "pivoted": True}
        if (width := sizes.hidden[number]) is not None:
            own["mlp"] = (
                cast(WithHidden, model.at(number).mlp).model_copy(update={"width": width}).model_dump(mode="json")
            )
        if gone:
            own |= {"mlp": _NONE} if gone == ["mlp"] else {"similarity": _NONE, "value": _NONE}
        for axis, part in own.items():
            parts[axis].append(part)
    merged = {axis: each[0] if all(part == each[0] for part in each) else each for axis, each in parts.items()}
    return ModelConfig.model_validate({**model.model_dump(mode="json"), **merged, "depth": depth})


_NONE = {"kind": "none"}


def _varied(batches: Sequence[Inputs], spec: DataSpec) -> list[Inputs]:
    """Copies of text whose tokens are partly drawn anew, but for the first and the last of an example."""
    if not isinstance(spec, TextSpec):
        return []
    chance = torch.Generator().manual_seed(0)
    found: list[Inputs] = []
    for _ in range(COPIES):
        for inputs in batches:
            tokens = cast(Tensor, inputs[0])
            real = inputs[2] if len(inputs) > 2 and inputs[2] is not None else torch.ones_like(tokens).bool()
            inner = real & F.pad(real[:, 1:], (0, 1))
            inner[:, 0] = False
            drawn = torch.randint(spec.vocab_size, tokens.shape, generator=chance)
            swapped = inner & (torch.rand(tokens.shape, generator=chance) < SWAPPED)
            found.append((torch.where(swapped, drawn, tokens), *inputs[1:]))
    return found


def _attention(block: Any, narrow: Any, walk: Walk, ranks: tuple[int | None, int | None]) -> None:
    """Fills the narrow block's attention, of these ranks (None: as it was); the tokens become those after it.

    Without one, or without a narrow block, those of the smaller model stay.
    """
    if narrow is None or narrow.attention is None:
        walk.original = [
            after(block.attention_norm, block, x + block.attention(read_by(block.attention_norm, block, x), None, seen))
            for x, seen in zip(walk.original, map(walk.seen, range(len(walk.original))), strict=True)
        ]
        return
    query_key, value_output = ranks
    if query_key is not None:
        narrow.attention.similarity.set_factors(*ScoreMoments(block, walk, walk.smaller).maps(query_key))
    values_of, output_of = block.attention.value.maps(None)
    shift = values_of.bias @ output_of.weight
    wanted = [
        x + block.attention(read_by(block.attention_norm, block, x), None, walk.seen(at))
        for at, x in enumerate(walk.original)
    ]
    gathered = Gathered(centred=narrow.attention.value.w_o.bias is not None)
    weight = values_of.weight.float()
    for at, (x, target) in enumerate(zip(walk.smaller, wanted, strict=True)):
        read, real = read_by(block.attention_norm, block, x), walk.real[at]
        queries, keys = narrow.attention.similarity(read, read)
        rows = walk.mixed(queries, keys, split_heads(read @ weight, walk.heads), at)[real]
        gathered.add(rows, (target - x)[real], weights_of_tokens(block, target[real]))
    equations = gathered.equations()
    fitted = equations.fit(output_of.weight, DAMPING_OUTPUT)
    if value_output is None:
        bias = equations.bias(fitted) - values_of.bias @ fitted if gathered.centred else shift + output_of.bias
        write_map(narrow.attention.value.w_o, fitted, bias)
    else:
        bases = [
            (turn[:, :value_output], right[:value_output])
            for turn, _, right in value_bases(equations.inputs, fitted, walk.heads)
        ]
        turned = equations.turned(torch.block_diag(*(turn for turn, _ in bases)))
        fitted = turned.fit(torch.cat([right for _, right in bases]), DAMPING_OUTPUT)
        bias = turned.bias(fitted) if gathered.centred else shift + output_of.bias
        by_head = values_of.weight.split(values_of.weight.shape[1] // walk.heads, dim=1)
        values = [own @ turn for own, (turn, _) in zip(by_head, bases, strict=True)]
        narrow.attention.value.set_factors(values, fitted.split(value_output), bias)
    walk.original = [after(block.attention_norm, block, target) for target in wanted]
    walk.smaller = [
        after(
            block.attention_norm,
            block,
            x + narrow.attention(read_by(block.attention_norm, block, x), None, walk.seen(at)),
        )
        for at, x in enumerate(walk.smaller)
    ]


def _mlp(block: Any, narrow: Any, walk: Walk) -> None:
    """Fills the narrow block's MLP; the tokens become those after it. Without one, attention's norm makes up for it."""
    if narrow is None or narrow.mlp is None:
        walk.original = [
            after(block.mlp_norm, block, x + block.mlp(read_by(block.mlp_norm, block, x))) for x in walk.original
        ]
        if narrow is not None:
            norm, now, wanted = narrow.attention_norm, walk.smaller, walk.original
            walk.smaller = refit(norm, block=narrow, real=walk.real, given=now, wanted=wanted)
        return
    mlp, activation = block.mlp, type(block.mlp).activation
    wanted = [x + mlp(read_by(block.mlp_norm, block, x)) for x in walk.original]
    gathered = Gathered(centred=mlp.w_2.bias is not None)
    for x, target, real in zip(walk.smaller, wanted, walk.real, strict=True):
        rows = activation(mlp.w_1(read_by(block.mlp_norm, block, x)[real]))
        gathered.add(rows, (target - x)[real], weights_of_tokens(block, target[real]))
    (w_1, b_1), (w_2, _) = read_map(mlp.w_1), read_map(mlp.w_2)
    equations = gathered.equations()
    width = read_map(narrow.mlp.w_1).weight.shape[1]
    kept = kept_inputs(damped(equations.inputs, DAMPING_MLP), equations.fit(w_2, DAMPING_MLP), width)
    own = equations.of(kept)
    fitted = own.fit(w_2[kept], DAMPING_MLP)
    write_map(narrow.mlp.w_1, w_1[:, kept], b_1[kept])
    write_map(narrow.mlp.w_2, fitted, own.bias(fitted))
    walk.original = [after(block.mlp_norm, block, target) for target in wanted]
    walk.smaller = [
        after(block.mlp_norm, block, x + narrow.mlp(read_by(block.mlp_norm, block, x))) for x in walk.smaller
    ]
