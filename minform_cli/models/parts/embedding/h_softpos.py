"""H-SoftPOS: narrow word vectors, made wide by what stands before them and by soft classes of what they are.

n levels, m = floor(N / 2n), e = N - m (2n - 1). x_0 is the word's vector in R^e times sqrt(e), plus positions; x_i is a
causal convolution of x_{i-1} (kernel 3, dilation 2^(i-1), linear, with bias) into R^m;
y_i = [x_i ; softmax(x_i[:m]) S_i], and the embedding is y_0, ..., y_{n-1} side by side: e + m + (n - 1) 2m = N columns.
Numbers: V e + n m^2 + 3 e m + m for the first convolution and 3 m^2 + m for each further one.
Source: Anthe, arXiv 2305.10991 (n = 2).
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from minform_cli.config.axes.embedding import HSoftPos as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec, TextSpec
from minform_cli.models.parts.base import has_bias, linear
from minform_cli.models.parts.embedding.base import EMBEDDINGS, TextEmbedding
from minform_cli.models.parts.position import POSITIONS

KERNEL = 3


@EMBEDDINGS.register("h-softpos")
class HSoftPos(TextEmbedding):
    """Vocabulary -> `words` (V, e), S_i -> `classes` (n, m, m), convolutions -> `mix`, each a map of 3 tokens to one.

    Args:
        model: sizes and parts.
        spec: V entries of the vocabulary, tokens of the longest example.
    """

    no_source = "its word vectors are narrower, and what stands before a word makes most of its columns"

    def __init__(self, model: ModelConfig, spec: DataSpec) -> None:
        super().__init__(model, spec)
        text = cast(TextSpec, spec)
        levels = cast(Options, model.embedding).levels
        m = model.dim // (2 * levels)
        e = model.dim - m * (2 * levels - 1)
        self.scale = math.sqrt(e)
        self.words = nn.Embedding(text.vocab_size, e)
        nn.init.normal_(self.words.weight, std=e**-0.5)
        self.classes = nn.Parameter(torch.empty(levels, m, m))
        for matrix in self.classes.detach():
            nn.init.orthogonal_(matrix)
        widths = [e] + [m] * (levels - 1)
        # Weights that keep the variance of what they read, as the vectors they stand beside have it.
        self.mix = nn.ModuleList(
            linear(KERNEL * width, m, bias=has_bias(model), std=(KERNEL * width) ** -0.5) for width in widths[:-1]
        )
        self.positions = POSITIONS.get(model.position.kind)(model, text.seq_len, e)
        self.dropout = model.dropout
        self.reach = (KERNEL - 1) * (2 ** (levels - 1) - 1)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        types: Int[Tensor, "b t"] | None = None,  # noqa: ARG002  (there are none here)
        first: int = 0,
    ) -> Float[Tensor, "b t n"]:
        """The levels side by side."""
        x: Tensor = self.words(tokens) * self.scale
        if self.positions is not None:
            x = self.positions(x, first)
        columns = [x, self._soft(0, x)]
        for level, mix in enumerate(self.mix, 1):
            x = mix(_with_earlier(x, 2 ** (level - 1)))
            columns += [x, self._soft(level, x)]
        joined = torch.cat(columns, dim=2)
        return F.dropout(joined, self.dropout, self.training) if self.dropout else joined

    def _soft(self, level: int, x: Float[Tensor, "b t w"]) -> Float[Tensor, "b t m"]:
        """A mixture of the level's class vectors, by the first columns of `x`."""
        classes = self.classes[level]
        return x[:, :, : len(classes)].softmax(2) @ classes


def _with_earlier(x: Float[Tensor, "b t w"], dilation: int) -> Float[Tensor, "b t w3"]:
    """Each token beside the ones `dilation` and twice that before it; zeros before the first."""
    tokens = x.shape[1]
    padded = F.pad(x, (0, 0, (KERNEL - 1) * dilation, 0))
    return torch.cat([padded[:, k * dilation : k * dilation + tokens] for k in range(KERNEL)], dim=2)
