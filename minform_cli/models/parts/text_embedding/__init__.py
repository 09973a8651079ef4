"""The embeddings of text: from tokens to vectors."""

from minform_cli.models.parts.text_embedding.base import EMBEDDINGS, TextEmbedding
from minform_cli.models.parts.text_embedding.h_softpos import HSoftPos
from minform_cli.models.parts.text_embedding.tokens import TokenEmbedding

__all__ = ["EMBEDDINGS", "HSoftPos", "TextEmbedding", "TokenEmbedding"]
