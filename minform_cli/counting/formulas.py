"""Closed forms of every part's parameters, written from the papers and not from the modules.

`count` refuses a model whose tensors do not add up to these. Letters: N width, H heads, d = N / H, r MLP multiple,
T tokens, V entries of the vocabulary, M outputs. Sources stand with the parts' options; the counts are those of arXiv
2410.13732 unless said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from minform_cli.config.axes.embedding import Embedding, HSoftPos, Tokens
from minform_cli.config.axes.position import Learned
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec


@dataclass(frozen=True)
class Sizes:
    """The letters of the formulas.

    `gated` is the hidden width of a gated MLP; `all_biases`, `live_biases` are 1 where such biases exist, else 0.
    """

    n: int
    heads: int
    d: int
    hidden: int
    gated: int
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
    "identity-key": lambda s: s.n**2 + s.n * s.live_biases,  # arXiv 2305.10991
}
"""Numbers of one block's similarity."""

VALUE_OUTPUT: dict[str, Formula] = {
    "separate": lambda s: 2 * (s.n**2 + s.n * s.live_biases),
    "collapsed": lambda s: s.heads * s.n**2 + s.n * s.live_biases,
    "stack-collapsed": lambda _: 0,
    "omitted": lambda _: 0,
    "key": lambda s: s.n**2 + s.n * s.live_biases,
    "kgv": lambda s: 3 * (s.n**2 + s.n * s.live_biases),  # arXiv 2305.10991
}
"""Numbers of one block's value path."""

STACK_VALUE_OUTPUT: dict[str, Formula] = {"stack-collapsed": lambda s: s.n**2 + s.n * s.live_biases}
"""Numbers of a value path that stand once, after the last block."""

MLP: dict[str, Formula] = {
    "gelu": lambda s: 2 * s.n * s.hidden + (s.hidden + s.n) * s.live_biases,
    "relu": lambda s: 2 * s.n * s.hidden + (s.hidden + s.n) * s.live_biases,
    "swiglu": lambda s: 3 * s.n * s.gated + (2 * s.gated + s.n) * s.live_biases,  # arXiv 2002.05202
    "none": lambda _: 0,
}
"""Numbers of one block's MLP."""

NORMS_PER_SUBLAYER: dict[str, int] = {"pre": 1, "post": 1, "none": 0}
FINAL_NORMS: dict[str, int] = {"pre": 1, "post": 0, "none": 0}

POSITION: dict[str, Callable[[ModelConfig, int], int]] = {
    "learned": lambda model, tokens: _rows(cast(Learned, model.position), tokens) * model.dim,
    "sinusoidal": lambda _model, _tokens: 0,
    "none": lambda _model, _tokens: 0,
}
"""Numbers of the positions of T tokens of width N."""

CLASS_TOKENS: dict[str, int] = {"class-token": 1, "mean": 0, "pooler": 1, "tokens": 0}
"""Tokens that a readout adds to the patches of an image; text brings its own."""

POOLER: dict[str, Formula] = {
    "class-token": lambda _: 0,
    "mean": lambda _: 0,
    "pooler": lambda s: s.n**2 + s.n * s.live_biases,  # arXiv 1810.04805
    "tokens": lambda _: 0,
}
"""Numbers of a readout beside the task's head."""

CAUSAL: dict[str, bool] = {"none": False, "causal": True}
"""Whether a token may not attend to those behind it; a mask has no numbers."""

Head = Callable[[Sizes, ModelConfig, DataSpec], int]

HEAD: dict[str, Head] = {
    "classify-images": lambda s, _, spec: s.n * spec.num_classes + spec.num_classes * s.live_biases,
    "masked-tokens": lambda s, model, spec: s.n**2 + s.n * s.live_biases + 2 * s.n + _vocabulary(s, model, spec, True),
    "classify-sentences": lambda s, _, spec: s.n * spec.num_outputs + spec.num_outputs * s.live_biases,
    "next-tokens": lambda s, model, spec: _vocabulary(s, model, spec, not _is_tied(model)),
    "translate": lambda s, model, spec: _vocabulary(s, model, spec, not _is_tied(model)),
}
"""Numbers of each task's head."""

HEADS_COUNTED_APART = ("masked-tokens", "classify-sentences")
"""Tasks whose models are published without the head."""

LIVE_BIASES: dict[str, int] = {"all": 1, "live": 1, "none": 0}
ALL_BIASES: dict[str, int] = {"all": 1, "live": 0, "none": 0}


def sizes(model: ModelConfig) -> Sizes:
    """The formulas' letters for `model`."""
    return Sizes(
        n=model.dim,
        heads=model.heads,
        d=model.dim // model.heads,
        hidden=model.mlp_dim,
        gated=2 * model.mlp_dim // 3,
        live_biases=LIVE_BIASES[model.bias.kind],
        all_biases=ALL_BIASES[model.bias.kind],
        keys_are_values=model.value.kind == "key",
    )


def num_patches(model: ModelConfig, spec: ImageSpec) -> int:
    """Patches of one image."""
    return (spec.height // model.patch_size) * (spec.width // model.patch_size)


def num_tokens(model: ModelConfig, spec: DataSpec) -> int:
    """T: patches of one image, and the class token if there is one; or the longest example's tokens."""
    if isinstance(spec, ImageSpec):
        return num_patches(model, spec) + CLASS_TOKENS[model.readout.kind]
    return cast(TextSpec, spec).seq_len


def task_head(model: ModelConfig, spec: DataSpec, task: str) -> int:
    """Trainable numbers of a head that is counted apart; 0 where the head is counted with the rest."""
    return HEAD[task](sizes(model), model, spec) if task in HEADS_COUNTED_APART else 0


def embedding_numbers(model: ModelConfig, spec: DataSpec) -> tuple[int, int]:
    """Numbers that turn an example into vectors, and how many norms stand behind them."""
    n, b = model.dim, LIVE_BIASES[model.bias.kind]
    positions = POSITION[model.position.kind](model, num_tokens(model, spec))
    if isinstance(spec, ImageSpec):
        patches = spec.channels * model.patch_size**2 * n + n * b
        return patches + n * CLASS_TOKENS[model.readout.kind] + positions, 0
    size, sides = cast(TextSpec, spec).vocab_size, 2 if model.decoder_depth else 1
    if isinstance(model.embedding, HSoftPos):
        return sides * (_h_softpos(model.embedding.levels, size, n, b) + positions), 0
    options = cast(Tokens, model.embedding)
    words = size * n * (1 if options.tied else sides)
    return words + sides * (options.types * n + positions), sides * options.norm


def _h_softpos(levels: int, size: int, n: int, b: int) -> int:
    """V e + l m^2 for l levels, and 3 e m + m, then 3 m^2 + m, for the convolutions between them; arXiv 2305.10991."""
    e, m = h_softpos_widths(levels, n)
    convolutions = [3 * width * m + m * b for width in [e] + [m] * (levels - 2)][: levels - 1]
    return size * e + levels * m**2 + sum(convolutions)


def h_softpos_widths(levels: int, n: int) -> tuple[int, int]:
    """e and m: columns of a word's own vector, and of everything that is made of it."""
    m = n // (2 * levels)
    return n - m * (2 * levels - 1), m


def _rows(position: Learned, tokens: int) -> int:
    return position.rows or tokens + position.unused


def _is_tied(model: ModelConfig) -> bool:
    return cast(Embedding, model.embedding).ties


def _vocabulary(s: Sizes, model: ModelConfig, spec: DataSpec, bias: bool) -> int:
    """Numbers of an output over the vocabulary, with a bias if `bias`."""
    size = cast(TextSpec, spec).vocab_size
    return (0 if _is_tied(model) else size * s.n) + (size * s.live_biases if bias else 0)
