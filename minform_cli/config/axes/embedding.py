"""Axis `embedding`: how an example becomes a sequence of vectors."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis

EMBEDDING = new_axis("embedding", "how an example becomes a sequence of vectors")


class Embedding(PartOptions, frozen=True):
    """Base of the embeddings.

    Class attributes:
        takes: kinds of examples it is for, as data sets name theirs.
    """

    takes: ClassVar[tuple[str, ...]]


@EMBEDDING.part
class Patches(Embedding, frozen=True):
    """Square patches of an image, each through one linear map; `model.patch_size` is their side."""

    kind: Literal["patches"] = "patches"
    meaning = "image patches through one linear map"
    source = "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1"
    takes = ("images",)


@EMBEDDING.part
class Tokens(Embedding, frozen=True):
    """One learned vector per entry of the vocabulary.

    Attributes:
        types: learned vectors that tell the sentences of a pair apart, added to the tokens of each; 0 for none.
        norm: whether the sum of all vectors is normalised, as `model.norm` says how.
        scale: whether the vectors of the vocabulary are multiplied by sqrt(N).
        tied: whether the output over the vocabulary is this matrix (and that of a decoder too), without a bias; else
            each has its own, the output with a bias.
    """

    kind: Literal["tokens"] = "tokens"
    types: int = Field(default=0, ge=0, le=1024)
    norm: bool = False
    scale: bool = False
    tied: bool = True
    meaning = "one learned vector per entry of the vocabulary"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.4; BERT, arXiv 1810.04805, figure 2 (types, norm)"
    takes = ("text", "pairs")
