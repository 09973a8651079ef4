"""What every embedding offers."""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minform_cli.config.axes.readout import Readout
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec
from minform_cli.models.parts.base import Part
from minform_cli.models.parts.centred import columns_for
from minform_cli.models.parts.position import POSITIONS, LearnedPositions
from minform_cli.registry import Registry


class Embedding(Part):
    """Base of the embeddings.

    Args:
        model: sizes and parts.
        spec: of the examples.
    """

    parameter_group = "embedding"

    def __init__(self, model: ModelConfig, spec: DataSpec) -> None:  # noqa: ARG002  (the parts read both)
        super().__init__()


class ImageEmbedding(Embedding):
    """Base of the embeddings of images.

    The readout's learned tokens -> `class_token`, positions -> `positions`.

    Attributes:
        grid: rows and columns of the tokens that an image makes.
        added: learned tokens before them, as the model's readout asks for them.
        width: columns that are stored of a token.
    """

    grid: tuple[int, int]
    added: int
    width: int

    def _add(self, model: ModelConfig, grid: tuple[int, int], width: int) -> None:
        """Makes the learned tokens and the positions, once what makes tokens of an image is there."""
        self.grid, self.width, self.dim = grid, width, model.dim
        self.added = cast(Readout, model.readout).form(model).tokens
        self.class_token: nn.Parameter | None = None
        if self.added:
            # One is kept as a vector, several as a matrix.
            self.class_token = nn.Parameter(torch.empty((self.added, width)[self.added == 1 :]))
            nn.init.normal_(self.class_token, std=0.02)
        tokens = self.added + math.prod(grid)
        self.positions = POSITIONS.get(model.position.kind)(model, tokens, width)

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b t n"]:
        """Tokens of the images behind the learned ones, of which the class token is the first."""
        tokens: Tensor = self.tokens_of(images)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(tokens.shape[0], self.added, -1), tokens], dim=1)
        if self.positions is not None:
            tokens = self.positions(tokens)
        return columns_for(tokens, self.dim)

    def tokens_of(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b t m"]:
        """What the images themselves make, row by row of the grid."""
        raise NotImplementedError

    def _take_added(self, source: ImageEmbedding) -> None:
        """The learned tokens and positions of `source`, as far as both have them."""
        both = min(self.added, source.added)
        if self.class_token is not None and source.class_token is not None:
            theirs = columns_for(source.class_token, self.width).view(source.added, -1)
            self.class_token.view(self.added, -1)[:both] = theirs[:both]
        if isinstance(self.positions, LearnedPositions) and isinstance(source.positions, LearnedPositions):
            self.positions.take_rows(source.positions, rows=both)
            self.positions.take_rows(source.positions, at=self.added, begin=source.added)


class TextEmbedding(Embedding):
    """Base of the embeddings of text.

    Attributes:
        words: a vector for every entry of the vocabulary.
        reach: on how many tokens before it a token's vector depends.
    """

    words: nn.Embedding
    reach: int = 0

    @property
    def table(self) -> Tensor:
        """The vectors of the vocabulary as they are stored, for an output that is tied to them, (V, E)."""
        return self.words.weight

    def forward(
        self, tokens: Int[Tensor, "b t"], types: Int[Tensor, "b t"] | None = None, first: int = 0
    ) -> Float[Tensor, "b t n"]:
        """Vectors of the tokens.

        Args:
            tokens: entries of the vocabulary.
            types: which sentence of a pair each belongs to; None: the first.
            first: place of the first of them in its sequence; what stands before it counts as absent.
        """
        raise NotImplementedError


EMBEDDINGS: Registry[type[Embedding]] = Registry("embedding")
