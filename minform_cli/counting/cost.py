"""Multiply-accumulates (MACs), forward and in a training step, in closed form. 1 MAC = 2 FLOPs.

Counted: every matrix product (patch embedding, projections, scores, mixing, MLP, pooler, output), and of a training
step those of the backward pass. Causal attention counts in full, since fast kernels differ in what they skip. The head
of a task is left out where counts leave it out. Not counted: softmax, normalisation, activations, additions of biases
and skips, the optimiser; their share shrinks with the width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from minform_cli.config.axes.embedding import HSoftPos
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.counting.chains import chained_macs_difference
from minform_cli.counting.formulas import (
    CAUSAL,
    HEADS_COUNTED_APART,
    Sizes,
    h_softpos_widths,
    num_patches,
    num_tokens,
    sizes,
)
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec
from minform_cli.models.build import tokens_per_step

TokenCost = Callable[[Sizes], int]

PROJECT_QUERY_KEY: dict[str, TokenCost] = {
    "separate": lambda s: 2 * s.n**2,
    "collapsed": lambda s: s.heads * s.n**2,
    "tied": lambda s: s.n**2,
    "mirrored": lambda s: s.heads * s.d**2,
    "cholesky": lambda s: s.heads * s.d**2,
    "pairwise": lambda s: s.n**2 + s.heads * s.d**2,
    "identity-query": lambda s: s.n**2,
    "identity-key": lambda s: s.n**2,
}
"""MACs per token to make queries and keys (triangles are multiplied as full matrices)."""

CROSS_QUERY_KEY: dict[str, TokenCost] = {
    "tied": lambda s: 2 * s.n**2,
    "cholesky": lambda s: 2 * s.heads * s.d**2,
    "pairwise": lambda s: 2 * s.n**2 + s.heads * s.d**2,
}
"""The same where queries and keys come from two sequences: what serves as both is then computed twice."""

SCORE_WIDTH: dict[str, TokenCost] = {"collapsed": lambda s: s.heads * s.n}
"""MACs of the scores of one pair of tokens over all heads, where they are not N."""

PROJECT_VALUE: dict[str, TokenCost] = {
    "separate": lambda s: 2 * s.n**2,
    "collapsed": lambda s: s.heads * s.n**2,
    "stack-collapsed": lambda _: 0,
    "omitted": lambda _: 0,
    "key": lambda s: s.n**2,
    "kgv": lambda s: 3 * s.n**2,
}
"""MACs per token of the value path's projections."""

MIX_WIDTH: dict[str, TokenCost] = {"collapsed": lambda s: s.heads * s.n}
"""MACs of mixing one pair of tokens over all heads, where they are not N."""

STACK_OUTPUT: dict[str, TokenCost] = {"stack-collapsed": lambda s: s.n**2}
"""MACs per token of a value path's map after the last block."""

MLP: dict[str, TokenCost] = {
    "gelu": lambda s: 2 * s.n * s.hidden,
    "relu": lambda s: 2 * s.n * s.hidden,
    "swiglu": lambda s: 3 * s.n * s.gated,
    "none": lambda _: 0,
}
"""MACs per token of the MLP."""


def forward_macs(config: RunConfig, spec: DataSpec, examples: int = 1) -> int:
    """Multiply-accumulates of a batch's forward pass; shared blocks cost every time they run.

    Args:
        config: the model and its task; and a training step's size, which the order of tensor chains is chosen for.
        spec: examples are as long as its longest; source and target of a pair both are.
        examples: of the batch. All costs are in proportion to them but for chains that are made a matrix once a batch.
    """
    model, s = config.model, sizes(config.model)
    tokens = num_tokens(model, spec)
    similarity, value = model.similarity.kind, model.value.kind
    keys, values, mlp = PROJECT_QUERY_KEY[similarity](s), PROJECT_VALUE[value](s), MLP[model.mlp.kind](s)
    cross = CROSS_QUERY_KEY.get(similarity, PROJECT_QUERY_KEY[similarity])(s)
    pairs = tokens**2 * (_or_width(SCORE_WIDTH, similarity, s) + _or_width(MIX_WIDTH, value, s))
    each = (
        _patch_macs(model, spec)
        + tokens * _embedding_macs(model)
        + model.depth * (tokens * (keys + values + mlp) + pairs)
        + model.decoder_depth * (tokens * (keys + cross + 2 * values + mlp) + 2 * pairs)
        + tokens * STACK_OUTPUT.get(value, lambda _: 0)(s)
        + _head_macs(model, spec, config.task, tokens)
    )
    return examples * each + chained_macs_difference(model, examples * tokens, tokens_per_step(config, spec))


def training_macs(config: RunConfig, spec: DataSpec, examples: int = 1) -> int:
    """Multiply-accumulates of a training step on a batch; arguments as of `forward_macs`.

    The backward pass of a product is two products of its size, one for each factor's gradient. Only the images need no
    gradient, which saves the patch embedding's second one.
    """
    return 3 * forward_macs(config, spec, examples) - examples * _patch_macs(config.model, spec)


def per_example(macs: Callable[[RunConfig, DataSpec, int], int], config: RunConfig, spec: DataSpec) -> int:
    """An example's part of what `macs` says of a training step's batch, rounded up."""
    examples = max(1, tokens_per_step(config, spec) // num_tokens(config.model, spec))
    return -(-macs(config, spec, examples) // examples)


def cached_numbers(model: ModelConfig) -> int | None:
    """Numbers that generation keeps of every token so as not to compute its keys and values again.

    Of a decoder's attention to itself; its attention to the encoder keeps as much of every source token, once. What
    serves as key and value, or in all heads, is kept once. None for a model that does not generate.
    """
    layers = model.decoder_depth or (model.depth if CAUSAL[model.mask.kind] else 0)
    if not layers:
        return None
    s = sizes(model)
    similarity, value = model.similarity.kind, model.value.kind
    if value in TOKENS_ARE_VALUES and similarity in TOKENS_ARE_KEYS:
        return layers * s.n
    return layers * (s.n + VALUE_WIDTH.get(value, lambda s: s.n)(s))


TOKENS_ARE_KEYS = ("collapsed", "mirrored", "identity-key")
"""Similarities whose keys are the tokens themselves."""

TOKENS_ARE_VALUES = ("omitted", "stack-collapsed")
"""Value paths that mix the tokens themselves."""

VALUE_WIDTH: dict[str, TokenCost] = {"collapsed": lambda s: s.heads * s.n, "key": lambda _: 0}
"""Values of one token over all heads beside its keys, where they are not N."""


def _embedding_macs(model: ModelConfig) -> int:
    """Of one token of each side: looking a vector up costs nothing, widening it does."""
    if not isinstance(model.embedding, HSoftPos):
        return 0
    levels = model.embedding.levels
    e, m = h_softpos_widths(levels, model.dim)
    read = [e] + [m] * (levels - 2)
    return (2 if model.decoder_depth else 1) * (levels * m**2 + sum(3 * width * m for width in read[: levels - 1]))


def _patch_macs(model: ModelConfig, spec: DataSpec) -> int:
    if not isinstance(spec, ImageSpec):
        return 0
    return num_patches(model, spec) * spec.channels * model.patch_size**2 * model.dim


def _head_macs(model: ModelConfig, spec: DataSpec, task: str, tokens: int) -> int:
    pooler = model.dim**2 if model.readout.kind == "pooler" else 0
    if task in HEADS_COUNTED_APART:
        return pooler
    if isinstance(spec, ImageSpec):
        return pooler + model.dim * spec.num_classes
    return tokens * model.dim * cast(TextSpec, spec).vocab_size


def _or_width(table: dict[str, TokenCost], kind: str, s: Sizes) -> int:
    return table[kind](s) if kind in table else s.n
