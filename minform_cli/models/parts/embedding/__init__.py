"""The embeddings: from an example to vectors."""

from minform_cli.models.parts.embedding.base import EMBEDDINGS, Embedding, ImageEmbedding, TextEmbedding
from minform_cli.models.parts.embedding.convolutions import ConvTokenizer
from minform_cli.models.parts.embedding.h_softpos import HSoftPos
from minform_cli.models.parts.embedding.patches import PatchEmbedding
from minform_cli.models.parts.embedding.tokens import TokenEmbedding

__all__ = [
    "EMBEDDINGS",
    "ConvTokenizer",
    "Embedding",
    "HSoftPos",
    "ImageEmbedding",
    "PatchEmbedding",
    "TextEmbedding",
    "TokenEmbedding",
]
