"""Blocks made smaller one after another, each fitted to what the original gives where it stands.

Who gives up how much is a knapsack over what each part of each block would cost the model (`sensitivity`, `sizes`).
Ranks are chosen by `turns`; hidden units stay that least squares over the others replace worst. W_O and W_2 are then
fitted to the original's tokens from those of the smaller model, so that each makes up for what went before.
Beside the calibration examples stand copies of them with half of their tokens drawn from the vocabulary: unlike labels,
what the original gives is known for these, too.
Sources: A3 (ICML 2026), closed forms; Frantar and Alistarh 2022, arXiv 2208.11580, fits to what went before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minform_cli.config.axes.mlp import WithHidden
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.data.spec import DataSpec, TextSpec
from minform_cli.models.build import build_model
from minform_cli.models.parts.base import split_heads
from minform_cli.models.parts.linear import read_map, write_map
from minform_cli.models.parts.mlp import TwoMaps
from minform_cli.reducing.asked import PARTS, Budget
from minform_cli.reducing.calibration import Inputs
from minform_cli.reducing.least_squares import Gathered, damped, kept_inputs
from minform_cli.reducing.sensitivity import DAMPING_MLP, losses
from minform_cli.reducing.sizes import Sizes, sizes_for
from minform_cli.reducing.turns import Scores, value_bases
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
    return len(alike) == 1 and not getattr(config.norm, "centred", False)


@torch.no_grad()
def calibrated(
    original: nn.Module,
    config: RunConfig,
    spec: DataSpec,
    batches: Sequence[Inputs],
    budget: Budget,
    only: Sequence[str] = (),
) -> tuple[RunConfig, nn.Module] | None:
    """`original` within the budget and its config; None where nothing that would be lost need go for it.

    Args:
        original: what `applies_to`; left as it is.
        config, spec: of it.
        batches: of calibration.
        budget: met by less than one hidden unit, or than one rank where no units may go.
        only: kinds of parts that may be made smaller; none: all.

    Raises:
        InputError: what cannot go is more than the budget.
    """
    now = sum(parameter.numel() for parameter in cast(nn.Module, original.blocks).parameters())
    whole = sum(parameter.numel() for parameter in original.parameters())
    lost = losses(original, config.model, batches, [part for part in PARTS if not only or part in only])
    sizes = sizes_for(config.model, (now, whole), lost, budget)
    if sizes is None:
        return None
    model = config.model
    made = config.model_copy(update={"model": _smaller(model, sizes), "baseline": config.baseline or model})
    with torch.random.fork_rng(devices=[]):
        built = build_model(made, spec).eval()
    theirs, own = weights_of(original), weights_of(built)
    same = {name: name in theirs and theirs[name].shape == tensor.shape for name, tensor in own.items()}
    put_weights(built, {name: theirs[name] if same[name] else tensor for name, tensor in own.items()})
    walk = Walk(cast(Any, original), model, [*batches, *_varied(batches, spec)])
    pairs = zip(cast("Sequence[Any]", original.blocks), cast("Sequence[Any]", built.blocks), strict=True)
    for number, (block, narrow) in enumerate(pairs):
        _attention(block, narrow, walk, (sizes.query_key[number], sizes.value_output[number]))
        _mlp(block, narrow, walk)
    return made, built


def _smaller(model: ModelConfig, sizes: Sizes) -> ModelConfig:
    """The config with parts of these sizes."""

    def ranked(axis: str, ranks: Sequence[int | None]) -> object:
        parts: list[object] = [
            model.at(block).parts()[axis].model_dump(mode="json")
            if rank is None
            else {"kind": "low-rank", "rank": rank, "pivoted": True}
            for block, rank in enumerate(ranks)
        ]
        return parts[0] if all(each == parts[0] for each in parts) else parts

    mlps = [cast(WithHidden, model.at(block).mlp) for block in range(model.num_blocks)]
    widths = [
        mlp if width is None else mlp.model_copy(update={"width": width})
        for mlp, width in zip(mlps, sizes.hidden, strict=True)
    ]
    parts = {
        "similarity": ranked("similarity", sizes.query_key),
        "value": ranked("value", sizes.value_output),
        "mlp": [each.model_dump(mode="json") for each in widths],
    }
    return ModelConfig.model_validate({**model.model_dump(mode="json"), **parts})


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
    """Fills the narrow block's attention, of these ranks (None: as it was); the tokens become those after it."""
    query_key, value_output = ranks
    if query_key is not None:
        narrow.attention.similarity.set_factors(*Scores(block, walk, walk.smaller).maps(query_key))
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
    """Fills the narrow block's MLP; the tokens become those after it."""
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
