"""What every embedding of text offers."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Part
from minform_cli.registry import Registry


class TextEmbedding(Part):
    """Base of the embeddings of text.

    Attributes:
        words: a vector for every entry of the vocabulary.
        reach: on how many tokens before it a token's vector depends.
    """

    parameter_group = "embedding"

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


EMBEDDINGS: Registry[Callable[[ModelConfig, int, int], TextEmbedding]] = Registry("embedding")
"""From a model, V and the tokens of the longest example."""
