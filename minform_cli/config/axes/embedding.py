"""Axis `embedding`: how an example becomes a sequence of vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, Requires, new_axis

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig

EMBEDDING = new_axis("embedding", "how an example becomes a sequence of vectors")


class Embedding(PartOptions, frozen=True):
    """Base of the embeddings.

    Class attributes:
        takes: kinds of examples it is for, as data sets name theirs.
    """

    takes: ClassVar[tuple[str, ...]]

    @property
    def ties(self) -> bool:
        """Whether one matrix embeds and is the output over the vocabulary."""
        return False


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

    @property
    def ties(self) -> bool:  # noqa: D102
        return self.tied


@EMBEDDING.part
class HSoftPos(Embedding, frozen=True):
    """Narrow word vectors beside causal convolutions of them and soft classes of both; nothing to tie an output to.

    Attributes:
        levels: n; each level above the first sees twice as far back.
    """

    kind: Literal["h-softpos"] = "h-softpos"
    levels: int = Field(default=2, ge=1, le=8)
    meaning = "narrow word vectors, widened by causal convolutions and soft classes of them"
    source = "Anthe, arXiv 2305.10991"
    takes = ("text", "pairs")
    requires: ClassVar[Requires] = {"position": ("sinusoidal", "none")}
    why = "its word vectors are narrower than the model, so a learned table does not fit them"

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        if model.dim >= 2 * self.levels:
            return None
        return f"model.embedding 'h-softpos' with {self.levels} levels needs model.dim {2 * self.levels} or more"
