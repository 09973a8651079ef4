"""Blocks made smaller one after another, each fitted to what the original gives where it stands.

Queries and keys of a head: q ~ q T, k ~ k T', least mean squared error of scores of independent queries and keys,
these less their mean over the example (softmax cancels what all keys share). Values of a head: v ~ v T, least squared
error of what the head adds. Hidden units: those that least squares over the others replace worst. W_O and W_2 are then
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

from minform_cli.config.axes.mask import Mask
from minform_cli.config.axes.mlp import WithHidden
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.data.spec import DataSpec, TextSpec
from minform_cli.models.build import build_model
from minform_cli.models.parts.base import join_heads, split_heads
from minform_cli.models.parts.linear import read_map, write_map
from minform_cli.models.parts.mlp import TwoMaps
from minform_cli.reducing.asked import Budget
from minform_cli.reducing.calibration import Inputs
from minform_cli.reducing.least_squares import Gathered, damped, kept_inputs, power
from minform_cli.reducing.sizes import sizes_for
from minform_cli.runs.tensors import put_weights, weights_of

COPIES, SWAPPED = 1, 0.5
"""Copies of the calibration examples, and the share of their tokens that is drawn anew."""

DAMPING_RANKS, DAMPING_OUTPUT, DAMPING_MLP = 1e-3, 1e-2, 3e-2
"""lam over the mean diagonal. Chosen on training sentences of SST-2 that were neither calibrated nor measured on."""


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
    original: nn.Module, config: RunConfig, spec: DataSpec, batches: Sequence[Inputs], budget: Budget
) -> tuple[RunConfig, nn.Module] | None:
    """`original` within the budget and its config; None where ranks alone would be below it.

    Args:
        original: what `applies_to`; left as it is.
        config, spec: of it.
        batches: of calibration.
        budget: met by less than one hidden unit.

    Raises:
        InputError: what cannot go is more than the budget.
    """
    blocks = list(cast("Sequence[Any]", original.blocks))
    now = sum(parameter.numel() for parameter in cast(nn.Module, original.blocks).parameters())
    whole = sum(parameter.numel() for parameter in original.parameters())
    sizes = sizes_for(config.model, (now, whole), read_map(blocks[0].mlp.w_1).weight.shape[1], budget)
    if sizes is None:
        return None
    model = config.model
    parts = {
        "similarity": {"kind": "low-rank", "rank": sizes.query_key, "pivoted": True},
        "value": {"kind": "low-rank", "rank": sizes.value_output, "pivoted": True},
        "mlp": [
            cast(WithHidden, model.at(block).mlp).model_copy(update={"width": width}).model_dump(mode="json")
            for block, width in enumerate(sizes.hidden)
        ],
    }
    smaller = ModelConfig.model_validate({**model.model_dump(mode="json"), **parts})
    made = config.model_copy(update={"model": smaller, "baseline": config.baseline or model})
    with torch.random.fork_rng(devices=[]):
        built = build_model(made, spec).eval()
    theirs, own = weights_of(original), weights_of(built)
    same = {name: name in theirs and theirs[name].shape == tensor.shape for name, tensor in own.items()}
    put_weights(built, {name: theirs[name] if same[name] else tensor for name, tensor in own.items()})
    tokens = _Tokens(cast(Any, original), model, [*batches, *_varied(batches, spec)])
    for block, narrow in zip(blocks, cast("Sequence[Any]", built.blocks), strict=True):
        _attention(block, narrow, tokens)
        _mlp(block, narrow, tokens)
    return made, built


class _Tokens:
    """The tokens of every batch at one depth: the original's, and those of the smaller model so far."""

    def __init__(self, original: Any, model: ModelConfig, batches: Sequence[Inputs]) -> None:
        self.heads, self.scale = model.heads, model.head_dim**-0.5
        self.causal = cast(Mask, model.mask).form().causal
        self.original: list[Tensor] = [original.embedding(*inputs[:2]) for inputs in batches]
        self.smaller = list(self.original)
        self.real = [
            torch.ones(x.shape[:2], dtype=torch.bool) if len(inputs) < 3 or inputs[2] is None else inputs[2]
            for x, inputs in zip(self.original, batches, strict=True)
        ]

    def seen(self, at: int) -> Tensor | None:
        """Which tokens of batch `at` may be attended to."""
        return None if self.causal or bool(self.real[at].all()) else self.real[at].unsqueeze(1)

    def mixed(self, queries: Tensor, keys: Tensor, values: Tensor, at: int) -> Tensor:
        """What the heads mix, side by side."""
        seen = self.seen(at)
        mask = None if seen is None else seen.unsqueeze(1)
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=self.causal, scale=self.scale
        )
        return join_heads(mixed)


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


def _read(norm: Any, block: Any, x: Tensor) -> Tensor:
    """What a sublayer reads of the tokens."""
    return norm(x) if norm is not None and block.norm_first else x


def _after(norm: Any, block: Any, x: Tensor) -> Tensor:
    """The tokens after a sublayer, once what it gives is added."""
    return norm(x) if norm is not None and not block.norm_first else x


def _weights(block: Any, wanted: Tensor) -> Tensor:
    """Of each token: where a norm divides it by its deviation, errors count over that."""
    return torch.ones_like(wanted[:, 0]) if block.norm_first else 1 / wanted.var(1).clamp_min(1e-12)


def _attention(block: Any, narrow: Any, tokens: _Tokens) -> None:
    """Fills the narrow block's attention; the tokens become those after it."""
    heads = tokens.heads
    similarity, value = block.attention.similarity, block.attention.value
    queries_of, keys_of = similarity.projections()
    _set_scores(block, narrow, tokens, (queries_of, keys_of))
    values_of, output_of = value.maps(None)
    shift = values_of.bias @ output_of.weight
    wanted = [
        x + block.attention(_read(block.attention_norm, block, x), None, tokens.seen(at))
        for at, x in enumerate(tokens.original)
    ]
    gathered = Gathered(centred=narrow.attention.value.w_o.bias is not None)
    weight = values_of.weight.float()
    for at, (x, target) in enumerate(zip(tokens.smaller, wanted, strict=True)):
        read, real = _read(block.attention_norm, block, x), tokens.real[at]
        queries, keys = narrow.attention.similarity(read, read)
        rows = tokens.mixed(queries, keys, split_heads(read @ weight, heads), at)[real]
        gathered.add(rows, (target - x)[real], _weights(block, target[real]))
    equations = gathered.equations()
    fitted = equations.fit(output_of.weight, DAMPING_OUTPUT)
    rank = narrow.attention.value.ranks[0]
    turns, outputs = _turns(equations.inputs, fitted, heads, rank)
    turned = equations.turned(torch.block_diag(*turns))
    fitted = turned.fit(torch.cat(outputs), DAMPING_OUTPUT)
    bias = turned.bias(fitted) if gathered.centred else shift + output_of.bias
    by_head = values_of.weight.split(values_of.weight.shape[1] // heads, dim=1)
    values = [own @ turn for own, turn in zip(by_head, turns, strict=True)]
    narrow.attention.value.set_factors(values, fitted.split(rank), bias)
    tokens.original = [_after(block.attention_norm, block, target) for target in wanted]
    tokens.smaller = [
        _after(
            block.attention_norm,
            block,
            x + narrow.attention(_read(block.attention_norm, block, x), None, tokens.seen(at)),
        )
        for at, x in enumerate(tokens.smaller)
    ]


def _turns(moment: Tensor, output: Tensor, heads: int, rank: int) -> tuple[list[Tensor], list[Tensor]]:
    """Of each head, T and the rows of W_O that go with it."""
    width = len(moment) // heads
    turns: list[Tensor] = []
    outputs: list[Tensor] = []
    for start in range(0, len(moment), width):
        own = slice(start, start + width)
        second = damped(moment[own, own], DAMPING_RANKS)
        left, sizes, right = torch.linalg.svd(power(second, 0.5) @ output[own], full_matrices=False)
        turns.append(power(second, -0.5) @ (left[:, :rank] * sizes[:rank]))
        outputs.append(right[:rank])
    return turns, outputs


def _set_scores(block: Any, narrow: Any, tokens: _Tokens, maps: Any) -> None:
    """Fills the narrow block's similarity from the second moments of queries and of keys."""
    queries_of, keys_of = maps
    heads, rank = tokens.heads, narrow.attention.similarity.ranks[0]
    seconds: list[Tensor | float] = [0.0, 0.0]
    weights = [each.weight.float() for each in maps]
    for x, real in zip(tokens.smaller, tokens.real, strict=True):
        read, mask = _read(block.attention_norm, block, x), real[:, None, :, None]
        queries = split_heads(read @ weights[0] + queries_of.bias.float(), heads) * mask
        keys = split_heads(read @ weights[1], heads) * mask
        keys = (keys - keys.sum(2, keepdim=True) / mask.sum(2, keepdim=True)) * mask
        for which, each in enumerate((queries, keys)):
            seconds[which] = seconds[which] + torch.einsum("bhte,bhtf->hef", each, each).double()
    one, two = (damped(cast(Tensor, each), DAMPING_RANKS) for each in seconds)
    left, sizes, right = torch.linalg.svd(power(one, 0.5) @ power(two, 0.5))
    root = sizes[:, None, :rank].sqrt()
    turn_q, turn_k = power(one, -0.5) @ (left[:, :, :rank] * root), power(two, -0.5) @ (right[:, :rank].mT * root)

    def by_head(weight: Tensor) -> Tensor:
        return weight.unflatten(-1, (heads, -1)).transpose(0, -2)

    queries = list(by_head(queries_of.weight) @ turn_q)
    biases = [bias @ turn for bias, turn in zip(queries_of.bias.unflatten(0, (heads, -1)), turn_q, strict=True)]
    narrow.attention.similarity.set_factors(queries, biases, list(by_head(keys_of.weight) @ turn_k))


def _mlp(block: Any, narrow: Any, tokens: _Tokens) -> None:
    """Fills the narrow block's MLP; the tokens become those after it."""
    mlp, activation = block.mlp, type(block.mlp).activation
    wanted = [x + mlp(_read(block.mlp_norm, block, x)) for x in tokens.original]
    gathered = Gathered(centred=mlp.w_2.bias is not None)
    for x, target, real in zip(tokens.smaller, wanted, tokens.real, strict=True):
        rows = activation(mlp.w_1(_read(block.mlp_norm, block, x)[real]))
        gathered.add(rows, (target - x)[real], _weights(block, target[real]))
    (w_1, b_1), (w_2, _) = read_map(mlp.w_1), read_map(mlp.w_2)
    equations = gathered.equations()
    width = read_map(narrow.mlp.w_1).weight.shape[1]
    kept = kept_inputs(damped(equations.inputs, DAMPING_MLP), equations.fit(w_2, DAMPING_MLP), width)
    own = equations.of(kept)
    fitted = own.fit(w_2[kept], DAMPING_MLP)
    write_map(narrow.mlp.w_1, w_1[:, kept], b_1[kept])
    write_map(narrow.mlp.w_2, fitted, own.bias(fitted))
    tokens.original = [_after(block.mlp_norm, block, target) for target in wanted]
    tokens.smaller = [
        _after(block.mlp_norm, block, x + narrow.mlp(_read(block.mlp_norm, block, x))) for x in tokens.smaller
    ]
