"""Tokens as vectors: a learned vector per entry of the vocabulary, token types and positions on top.

Numbers: V N for V entries (V E + E N where E columns of each are stored), types N, positions by their part, and the
norm's in their own group.
Initial scale: N(0, 0.02^2) as BERT has it, or N(0, 1 / N) where the vectors are multiplied by sqrt(N); of what widens
them N(0, 1 / E), which keeps that.
Sources: arXiv 1706.03762, section 3.4; arXiv 1810.04805, figure 2; E columns: ALBERT, arXiv 1909.11942, section 3.1
(whose positions and types have E columns too; here they are added behind the map).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from minform_cli.config.axes.embedding import Tokens
from minform_cli.config.axes.norm import written
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec, TextSpec
from minform_cli.models.parts.base import linear
from minform_cli.models.parts.centred import columns_for
from minform_cli.models.parts.embedding.base import EMBEDDINGS, TextEmbedding
from minform_cli.models.parts.norm import embedding_norm
from minform_cli.models.parts.position import POSITIONS, LearnedPositions

STD = 0.02


class TokenEmbedding(TextEmbedding):
    """From tokens to vectors. Vocabulary -> `words`, token types -> `types`, positions -> `positions`, norm -> `norm`.

    From E columns to N -> `widen`.

    Args:
        model: sizes and parts.
        spec: V entries of the vocabulary, tokens of the longest example.
    """

    exact_where = (
        "where token types leave, all tokens are of the first type, and positions are learned; of fewer columns nearest"
    )

    def __init__(self, model: ModelConfig, spec: DataSpec) -> None:
        super().__init__(model, spec)
        text = cast(TextSpec, spec)
        options = cast(Tokens, model.embedding)
        self.scale = model.dim**0.5 if options.scale else None
        self.width, self.dim = written(model), model.dim
        stored = self.width if model.embedding_width is None else model.word_dim
        self.words = nn.Embedding(text.vocab_size, stored)
        nn.init.normal_(self.words.weight, std=model.dim**-0.5 if options.scale else STD)
        self.widen: nn.Linear | None = None
        if model.embedding_width is not None:
            self.widen = linear(stored, self.width, bias=False, std=stored**-0.5)
        self.types: nn.Parameter | None = None
        if options.types:
            self.types = nn.Parameter(torch.empty(options.types, self.width))
            nn.init.normal_(self.types, std=STD)
        self.positions = POSITIONS.get(model.position.kind)(model, text.seq_len, self.width)
        self.norm = embedding_norm(model) if options.norm else None
        self.dropout = model.dropout

    def forward(
        self, tokens: Int[Tensor, "b t"], types: Int[Tensor, "b t"] | None = None, first: int = 0
    ) -> Float[Tensor, "b t n"]:
        """The sum of vectors, types and positions."""
        x: Tensor = self.words(tokens)
        if self.widen is not None:
            x = self.widen(x)
        if self.scale is not None:
            x = x * self.scale
        if self.types is not None:
            x = x + (self.types[0] if types is None else F.embedding(types, self.types))
        if self.positions is not None:
            x = self.positions(x, first)
        x = columns_for(x, self.dim)
        if self.norm is not None:
            x = self.norm(x)
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:
        """The first token type goes into the positions where there are no types here."""
        if (
            not isinstance(source, TokenEmbedding)
            or len(source.words.weight) != len(self.words.weight)
            or source.width - self.width not in (0, 1)
            or source.scale != self.scale
        ):
            super()._take(source, beside)
            return
        if self.widen is not None and source.widen is not None and source.words.weight.shape == self.words.weight.shape:
            self.words.weight.copy_(source.words.weight)  # as an output that is tied to them reads them
            self.widen.weight.copy_(columns_for(source.widen.weight.T, self.width).T)
        else:
            self._take_words(columns_for(source.whole(), self.width))
        if self.norm is not None and source.norm is not None:
            self.norm.from_separate(source.norm)
        positions = self.positions if isinstance(self.positions, LearnedPositions) else None
        if positions is not None and isinstance(source.positions, LearnedPositions):
            positions.from_separate(source.positions)
        if self.types is not None and source.types is not None:
            rows = min(len(self.types), len(source.types))
            self.types[:rows] = columns_for(source.types[:rows], self.width)
        elif source.types is not None and positions is not None:
            positions.table.add_(columns_for(source.types[0], self.width))

    def whole(self) -> Tensor:
        """The vectors of the vocabulary as they are added, (V, written columns)."""
        return self.words.weight if self.widen is None else self.words.weight @ self.widen.weight.T

    def _take_words(self, whole: Tensor) -> None:
        """They become `whole`, or the nearest of their rank to it: the singular values, half on either side."""
        if self.widen is None:
            self.words.weight.copy_(whole)
            return
        rank = self.words.weight.shape[1]
        left, values, right = torch.linalg.svd(whole, full_matrices=False)
        half = values[:rank].sqrt()
        self.words.weight.zero_()  # where there are fewer words than columns
        self.widen.weight.zero_()
        self.words.weight[:, : len(half)] = left[:, :rank] * half
        self.widen.weight[:, : len(half)] = right[:rank].T * half


EMBEDDINGS.register("tokens")(TokenEmbedding)
