"""What every embedding offers."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec
from minform_cli.models.parts.base import Part
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

    Attributes:
        grid: rows and columns of the tokens that an image makes.
        added: learned tokens before them, as the model's readout asks for them.
    """

    grid: tuple[int, int]
    added: int

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b t n"]:
        """Tokens of the images: those that are added, then those of the grid, row by row."""
        raise NotImplementedError


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
        """The vectors of the vocabulary, for an output that is tied to them, (V, N)."""
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
