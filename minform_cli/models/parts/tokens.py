"""Tokens as vectors: a learned vector per entry of the vocabulary, token types and positions on top.

Numbers: V N for V entries, types N, positions by their part, and the norm's in their own group.
Initial scale: N(0, 0.02^2) as BERT has it, or N(0, 1 / N) where the vectors are multiplied by sqrt(N).
Sources: arXiv 1706.03762, section 3.4; arXiv 1810.04805, figure 2.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from minform_cli.config.axes.embedding import Tokens
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Part
from minform_cli.models.parts.norm import NORMS
from minform_cli.models.parts.position import POSITIONS

STD = 0.02


class TokenEmbedding(Part):
    """From tokens to vectors. Vocabulary -> `words`, token types -> `types`, positions -> `positions`, norm -> `norm`.

    Args:
        model: sizes and parts.
        vocab_size: V.
        seq_len: tokens of the longest example.
        words: another embedding's, to share with it.
    """

    parameter_group = "embedding"

    def __init__(self, model: ModelConfig, vocab_size: int, seq_len: int, words: nn.Embedding | None = None) -> None:
        super().__init__()
        options = cast(Tokens, model.embedding)
        self.scale = model.dim**0.5 if options.scale else None
        if words is None:
            words = nn.Embedding(vocab_size, model.dim)
            nn.init.normal_(words.weight, std=model.dim**-0.5 if options.scale else STD)
        self.words = words
        self.types: nn.Parameter | None = None
        if options.types:
            self.types = nn.Parameter(torch.empty(options.types, model.dim))
            nn.init.normal_(self.types, std=STD)
        self.positions = POSITIONS.get(model.position.kind)(model, seq_len)
        self.norm = NORMS.get(model.norm.kind)(model) if options.norm else None
        self.dropout = model.dropout

    @property
    def table(self) -> Tensor:
        """The vectors of the vocabulary, (V, N), for an output that is tied to them."""
        return self.words.weight

    def forward(self, tokens: Int[Tensor, "b t"], types: Int[Tensor, "b t"] | None = None) -> Float[Tensor, "b t n"]:
        """Vectors of the tokens; `types` None: all are of the first type."""
        x: Tensor = self.words(tokens)
        if self.scale is not None:
            x = x * self.scale
        if self.types is not None:
            x = x + (self.types[0] if types is None else F.embedding(types, self.types))
        if self.positions is not None:
            x = self.positions(x)
        if self.norm is not None:
            x = self.norm(x)
        return F.dropout(x, self.dropout, self.training) if self.dropout else x
