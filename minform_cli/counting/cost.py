"""Multiply-accumulates (MACs) of one example, forward and in a training step, in closed form. 1 MAC = 2 FLOPs.

Counted: every matrix product (patch embedding, projections, scores, mixing, MLP, head), and of a training step those of
the backward pass. Not counted: softmax, normalisation, activations, additions of biases and skips, the optimiser; their
share shrinks with the width.
"""

from __future__ import annotations

from collections.abc import Callable

from minform_cli.config.schema import ModelConfig
from minform_cli.counting.formulas import Sizes, num_tokens, sizes
from minform_cli.data.spec import DataSpec

TokenCost = Callable[[Sizes], int]

PROJECT_QUERY_KEY: dict[str, TokenCost] = {
    "separate": lambda s: 2 * s.n**2,
    "collapsed": lambda s: s.heads * s.n**2,
    "tied": lambda s: s.n**2,
    "mirrored": lambda s: s.heads * s.d**2,
    "cholesky": lambda s: s.heads * s.d**2,
    "pairwise": lambda s: s.n**2 + s.heads * s.d**2,
    "identity-query": lambda s: s.n**2,
}
"""MACs per token to make queries and keys (triangles are multiplied as full matrices)."""

SCORE_WIDTH: dict[str, TokenCost] = {"collapsed": lambda s: s.heads * s.n}
"""MACs of the scores of one pair of tokens over all heads, where they are not N."""

PROJECT_VALUE: dict[str, TokenCost] = {
    "separate": lambda s: 2 * s.n**2,
    "collapsed": lambda s: s.heads * s.n**2,
    "stack-collapsed": lambda _: 0,
    "omitted": lambda _: 0,
    "key": lambda s: s.n**2,
}
"""MACs per token of the value path's projections."""

MIX_WIDTH: dict[str, TokenCost] = {"collapsed": lambda s: s.heads * s.n}
"""MACs of mixing one pair of tokens over all heads, where they are not N."""

STACK_OUTPUT: dict[str, TokenCost] = {"stack-collapsed": lambda s: s.n**2}
"""MACs per token of a value path's map after the last block."""

MLP: dict[str, TokenCost] = {"gelu": lambda s: 2 * s.n * s.hidden, "none": lambda _: 0}
"""MACs per token of the MLP."""


def forward_macs(model: ModelConfig, spec: DataSpec) -> int:
    """Multiply-accumulates of one example's forward pass; shared blocks cost every time they run."""
    s = sizes(model)
    tokens = num_tokens(model, spec)
    per_token = (
        PROJECT_QUERY_KEY[model.similarity.kind](s) + PROJECT_VALUE[model.value.kind](s) + MLP[model.mlp.kind](s)
    )
    per_pair = _or_width(SCORE_WIDTH, model.similarity.kind, s) + _or_width(MIX_WIDTH, model.value.kind, s)
    return (
        _embedding_macs(model, spec)
        + model.depth * (tokens * per_token + tokens**2 * per_pair)
        + tokens * STACK_OUTPUT.get(model.value.kind, lambda _: 0)(s)
        + s.n * spec.num_classes
    )


def training_macs(model: ModelConfig, spec: DataSpec) -> int:
    """Multiply-accumulates of one example in a training step.

    The backward pass of a product is two products of its size, one for each factor's gradient. Only the images need no
    gradient, which saves the patch embedding's second one.
    """
    return 3 * forward_macs(model, spec) - _embedding_macs(model, spec)


def _embedding_macs(model: ModelConfig, spec: DataSpec) -> int:
    patches = (spec.height // model.patch_size) * (spec.width // model.patch_size)
    return patches * spec.channels * model.patch_size**2 * model.dim


def _or_width(table: dict[str, TokenCost], kind: str, s: Sizes) -> int:
    return table[kind](s) if kind in table else s.n
