"""Closed forms of every part's parameters, written from the papers and not from the modules.

`count` refuses a model whose tensors do not add up to these. Letters: N width, H heads, d = N / H, r MLP multiple,
T tokens, M outputs. Sources stand with the parts' options; the counts are those of arXiv 2410.13732 unless said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec
from minform_cli.results import GROUPS


@dataclass(frozen=True)
class Sizes:
    """The letters of the formulas; `all_biases`, `live_biases` are 1 where such biases exist, else 0."""

    n: int
    heads: int
    d: int
    hidden: int
    live_biases: int
    all_biases: int
    keys_are_values: bool

    @property
    def key_biases(self) -> int:
        """1 if a key projection has a bias: a dead one under `all`, a live one where keys are values."""
        return self.live_biases if self.keys_are_values else self.all_biases


Formula = Callable[[Sizes], int]

QUERY_KEY: dict[str, Formula] = {
    "separate": lambda s: 2 * s.n**2 + s.n * (s.live_biases + s.key_biases),
    "collapsed": lambda s: s.heads * (s.n**2 + s.n * s.live_biases),
    "tied": lambda s: s.n**2 + s.n * s.live_biases,
    "mirrored": lambda s: s.heads * s.d * (s.d + 1) // 2,
    "cholesky": lambda s: s.heads * s.d * (s.d + 1) // 2,
    "pairwise": lambda s: s.n**2 + s.n * s.live_biases + s.heads * s.d**2,  # arXiv 2406.06366
    "identity-query": lambda s: s.n**2 + s.n * s.key_biases,  # arXiv 2510.23912
}
"""Numbers of one block's similarity."""

VALUE_OUTPUT: dict[str, Formula] = {
    "separate": lambda s: 2 * (s.n**2 + s.n * s.live_biases),
    "collapsed": lambda s: s.heads * s.n**2 + s.n * s.live_biases,
    "stack-collapsed": lambda _: 0,
    "omitted": lambda _: 0,
    "key": lambda s: s.n**2 + s.n * s.live_biases,
}
"""Numbers of one block's value path."""

STACK_VALUE_OUTPUT: dict[str, Formula] = {"stack-collapsed": lambda s: s.n**2 + s.n * s.live_biases}
"""Numbers of a value path that stand once, after the last block."""

MLP: dict[str, Formula] = {
    "gelu": lambda s: 2 * s.n * s.hidden + (s.hidden + s.n) * s.live_biases,
    "none": lambda _: 0,
}
"""Numbers of one block's MLP."""

NORMS_PER_SUBLAYER: dict[str, int] = {"pre": 1, "post": 1, "none": 0}
FINAL_NORMS: dict[str, int] = {"pre": 1, "post": 0, "none": 0}

POSITION: dict[str, Callable[[int, int], int]] = {
    "learned": lambda tokens, n: tokens * n,
    "sinusoidal": lambda _tokens, _n: 0,
    "none": lambda _tokens, _n: 0,
}
"""Numbers of the positions of T tokens of width N."""

CLASS_TOKENS: dict[str, int] = {"class-token": 1, "mean": 0}

LIVE_BIASES: dict[str, int] = {"all": 1, "live": 1, "none": 0}
ALL_BIASES: dict[str, int] = {"all": 1, "live": 0, "none": 0}


def sizes(model: ModelConfig) -> Sizes:
    """The formulas' letters for `model`."""
    return Sizes(
        n=model.dim,
        heads=model.heads,
        d=model.dim // model.heads,
        hidden=model.mlp_dim,
        live_biases=LIVE_BIASES[model.bias.kind],
        all_biases=ALL_BIASES[model.bias.kind],
        keys_are_values=model.value.kind == "key",
    )


def num_tokens(model: ModelConfig, spec: DataSpec) -> int:
    """T: patches of one image, and the class token if there is one."""
    patches = (spec.height // model.patch_size) * (spec.width // model.patch_size)
    return patches + CLASS_TOKENS[model.readout.kind]


def closed_form(model: ModelConfig, spec: DataSpec) -> dict[str, int]:
    """Trainable numbers of the whole model by group; shared blocks once."""
    s = sizes(model)
    n, blocks, b = s.n, model.num_blocks, s.live_biases
    sublayers = 1 if model.mlp.kind == "none" else 2
    norms = blocks * sublayers * NORMS_PER_SUBLAYER[model.norm.kind] + FINAL_NORMS[model.norm.kind]
    in_stack = STACK_VALUE_OUTPUT.get(model.value.kind, lambda _: 0)
    groups = {
        "embedding": spec.channels * model.patch_size**2 * n
        + n * b
        + n * CLASS_TOKENS[model.readout.kind]
        + POSITION[model.position.kind](num_tokens(model, spec), n),
        "query_key": blocks * QUERY_KEY[model.similarity.kind](s),
        "value_output": blocks * VALUE_OUTPUT[model.value.kind](s) + in_stack(s),
        "mlp": blocks * MLP[model.mlp.kind](s),
        "norm": norms * 2 * n,
        "head": n * spec.num_classes + spec.num_classes * b,
    }
    assert tuple(groups) == GROUPS
    return groups
