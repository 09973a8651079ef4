"""Axis `embedding`: how an example becomes a sequence of vectors."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, Requires, even_kernel, new_axis
from minform_cli.config.axes.bias import live_bias
from minform_cli.config.axes.norm import written
from minform_cli.config.form import EmbeddingForm, Form, Map, Weights

if TYPE_CHECKING:
    from minform_cli.config.axes.norm import Norm
    from minform_cli.config.axes.position import Position
    from minform_cli.config.axes.readout import Readout
    from minform_cli.config.schema import ModelConfig
    from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec


class Embedding(PartOptions, frozen=True):
    """Base of the embeddings.

    Class attributes:
        takes: kinds of examples it is for, as data sets name theirs.
        takes_width: whether `model.embedding_width` has a meaning for it.
    """

    takes: ClassVar[tuple[str, ...]]
    takes_width: ClassVar[bool] = False

    @abstractmethod
    def form(self, model: ModelConfig, spec: DataSpec) -> EmbeddingForm:
        """For examples of such data."""

    @property
    def ties(self) -> bool:
        """Whether one matrix embeds and is the output over the vocabulary."""
        return False

    @property
    def normed(self) -> bool:
        """Whether its vectors are normalised, as `model.norm` says how."""
        return False

    @property
    def sentences(self) -> int | None:
        """How many sentences of one example it tells apart; None: it does not tell them apart."""
        return None

    def of_one_sentence(self) -> Embedding:
        """The same for examples of one sentence."""
        return self

    def not_centred(self) -> str | None:
        """Why its vectors cannot leave one column out, being of mean zero; None where they can."""
        return None

    def misfit(self, model: ModelConfig, height: int, width: int, title: str) -> str | None:  # noqa: ARG002
        """Why it makes no tokens of images so large, of the data set called `title` (a sentence), or None."""
        return None


EMBEDDING = new_axis("embedding", "how an example becomes a sequence of vectors", Embedding)


def embeddings_of(examples: str) -> tuple[str, ...]:
    """Those that are for such examples, as data sets name theirs."""
    return tuple(kind for kind in EMBEDDING.names() if examples in EMBEDDING.get(kind).takes)


def _and_positions(model: ModelConfig, tokens: int, dim: int) -> dict[str, Form]:
    """The child that adds positions to vectors so wide."""
    positions = cast("Position", model.position).form(tokens, dim)
    return {} if positions is None else {"positions": positions}


@EMBEDDING.part
class Patches(Embedding, frozen=True):
    """Square patches of an image, each through one linear map; `model.patch_size` is their side."""

    kind: Literal["patches"] = "patches"
    meaning = "image patches through one linear map"
    source = "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1"
    takes = ("images",)

    def form(self, model: ModelConfig, spec: DataSpec) -> EmbeddingForm:
        """C p^2 N for the patches, N for each added token; N - 1 columns of everything where tokens are centred."""
        image, n, p = cast("ImageSpec", spec), written(model), model.patch_size
        made = (image.height // p) * (image.width // p)
        added = cast("Readout", model.readout).form(model).tokens
        patches = Map(
            name="patches",
            dim_in=image.channels * p**2,
            dim_out=n,
            bias=live_bias(model, n),
            over="example",
            often=made,
            reads_data=True,
            module="Conv2d",
        )
        return EmbeddingForm(
            module="PatchEmbedding",
            holds=(patches, Weights(name="class_token", numbers=added * n)),
            children=_and_positions(model, made + added, n),
            tokens=made + added,
            from_data=made,
        )

    def misfit(self, model: ModelConfig, height: int, width: int, title: str) -> str | None:  # noqa: D102
        patch = model.patch_size
        if not (height % patch or width % patch):
            return None
        accepted = [p for p in range(1, min(height, width) + 1) if height % p == 0 and width % p == 0]
        return (
            f"model.patch_size {patch} does not divide the {height}x{width} images of {title}; "
            f"accepted: {', '.join(map(str, accepted))}"
        )


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
    takes_width = True

    @property
    def ties(self) -> bool:  # noqa: D102
        return self.tied

    @property
    def normed(self) -> bool:  # noqa: D102
        return self.norm

    @property
    def sentences(self) -> int | None:  # noqa: D102
        return self.types or None

    def of_one_sentence(self) -> Embedding:  # noqa: D102
        return self.model_copy(update={"types": 0})

    def not_centred(self) -> str | None:  # noqa: D102
        if self.tied:
            return "the vectors of the vocabulary are the output, too"
        return "the norm of the embedding adds to the tokens" if self.norm else None

    def form(self, model: ModelConfig, spec: DataSpec) -> EmbeddingForm:
        """V N for the vocabulary, or V E + E N; N for each type; N - 1 in place of N where tokens are centred."""
        text, n = cast("TextSpec", spec), written(model)
        stored = n if model.embedding_width is None else model.word_dim
        words = Weights(name="words", numbers=text.vocab_size * stored, both_sides=self.tied, module="Embedding")
        widen = () if model.embedding_width is None else (Map(name="widen", dim_in=stored, dim_out=n),)
        children = _and_positions(model, text.seq_len, n)
        norm = cast("Norm", model.norm).of_embedding(model) if self.norm else None
        if norm is not None:
            children["norm"] = norm
        return EmbeddingForm(
            module="TokenEmbedding",
            holds=(words, *widen, Weights(name="types", numbers=self.types * n)),
            children=children,
            tokens=text.seq_len,
            from_data=text.seq_len,
        )


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

    def form(self, model: ModelConfig, spec: DataSpec) -> EmbeddingForm:
        """V e + l m^2 for l levels, and 3 e m + m, then 3 m^2 + m, for the convolutions between them."""
        text, levels = cast("TextSpec", spec), self.levels
        e, m = self.widths(model.dim)
        read = [e, *[m] * (levels - 2)][: levels - 1]
        classes = levels * m**2
        mixed = [
            Map(name=f"mix.{level}", dim_in=3 * width, dim_out=m, bias=live_bias(model, m))
            for level, width in enumerate(read)
        ]
        return EmbeddingForm(
            module="HSoftPos",
            holds=(
                Weights(name="words", numbers=text.vocab_size * e, module="Embedding"),
                Weights(name="classes", numbers=classes, macs=classes),
                *mixed,
            ),
            children=_and_positions(model, text.seq_len, e),
            tokens=text.seq_len,
            from_data=text.seq_len,
        )

    def not_centred(self) -> str | None:  # noqa: D102
        return "embedding 'h-softpos' makes columns of columns"

    def widths(self, dim: int) -> tuple[int, int]:
        """e and m: columns of a word's own vector, and of everything that is made of it."""
        m = dim // (2 * self.levels)
        return dim - m * (2 * self.levels - 1), m

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        if model.dim >= 2 * self.levels:
            return None
        return f"model.embedding 'h-softpos' with {self.levels} levels needs model.dim {2 * self.levels} or more"


@dataclass(frozen=True)
class Convolution:
    """One convolution of a tokenizer, over padded borders.

    Attributes:
        dim_in, dim_out: channels.
        kernel, stride: pixels; the kernel's side is odd.
        grid: rows and columns that it makes, before any pooling.
        depthwise: whether each channel is by itself.
        activated: whether an activation, and pooling if there is any, follow.
    """

    dim_in: int
    dim_out: int
    kernel: int
    stride: int
    grid: tuple[int, int]
    depthwise: bool = False
    activated: bool = True


@EMBEDDING.part
class Convolutions(Embedding, frozen=True):
    """Convolutions that overlap, each followed by an activation; every place of the last one is a token.

    Each halves the grid, by its stride or by max pooling behind the activation. The last gives `model.dim` channels.

    Attributes:
        widths: channels of those before the last; None takes one with half of `model.dim`.
        kernel: side in pixels, odd.
        separable: whether all but the first are a depthwise convolution and a linear map of its channels.
        pool: whether 3 x 3 max pooling halves the grid, and not the stride.
        activation: behind each of them.
    """

    kind: Literal["convolutions"] = "convolutions"
    widths: tuple[int, ...] | None = Field(default=None, strict=False, max_length=8)
    kernel: int = Field(default=3, ge=1, le=63)
    separable: bool = False
    pool: bool = False
    activation: Literal["gelu", "relu"] = "gelu"
    meaning = "overlapping convolutions with an activation each, every place of the last a token"
    source = (
        "Escaping the Big Data Paradigm with Compact Transformers, arXiv 2104.05704, section 3.3; "
        "separable: MobileNets, arXiv 1704.04861, section 3.1"
    )
    takes = ("images",)

    def form(self, model: ModelConfig, spec: DataSpec) -> EmbeddingForm:
        """k^2 c_in c_out (+ c_out) each, or k^2 c_in + c_in c_out (+ c_out); N for each added token."""
        image = cast("ImageSpec", spec)
        each = self.convolutions(model, image.channels, image.height, image.width)
        made = math.prod(self.grid(image.height, image.width))
        added = cast("Readout", model.readout).form(model).tokens
        return EmbeddingForm(
            module="ConvTokenizer",
            holds=(
                *(_convolution(model, f"convolutions.{i}", one, first=i == 0) for i, one in enumerate(each)),
                Weights(name="class_token", numbers=added * model.dim),
            ),
            children=_and_positions(model, made + added, model.dim),
            tokens=made + added,
            from_data=made,
        )

    def convolutions(self, model: ModelConfig, channels: int, height: int, width: int) -> tuple[Convolution, ...]:
        """All of them for images so large, in their order."""
        between = (max(1, model.dim // 2),) if self.widths is None else self.widths
        made: list[Convolution] = []
        stride, now, grid = 1 if self.pool else 2, channels, (height, width)
        for dim in (*between, model.dim):
            halved = ((grid[0] + 1) // 2, (grid[1] + 1) // 2)
            after = grid if self.pool else halved
            if self.separable and made:
                made.append(Convolution(now, now, self.kernel, stride, after, depthwise=True, activated=False))
                made.append(Convolution(now, dim, 1, 1, after))
            else:
                made.append(Convolution(now, dim, self.kernel, stride, after))
            now, grid = dim, halved
        return tuple(made)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the tokens of an image so large: half of its, rounded up, as often as it is halved."""
        part = 2 ** (2 if self.widths is None else len(self.widths) + 1)
        return -(-height // part), -(-width // part)

    def not_centred(self) -> str | None:  # noqa: D102
        return "an activation stands behind the last convolution"

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: ARG002, D102
        wrong = [width for width in self.widths or () if width < 1]
        width = f"model.embedding 'convolutions' has a width of {wrong[0]}; accepted: 1 or more" if wrong else None
        return even_kernel("model.embedding 'convolutions'", self.kernel) or width


def _convolution(model: ModelConfig, name: str, it: Convolution, *, first: bool) -> Map | Weights:
    """One of them; a depthwise one has no bias, as the map behind it has."""
    places, size = math.prod(it.grid), it.kernel**2
    if it.depthwise:
        numbers = it.dim_in * size
        return Weights(name=name, numbers=numbers, macs=numbers * places, over="example", module="Conv2d")
    return Map(
        name=name,
        dim_in=it.dim_in * size,
        dim_out=it.dim_out,
        bias=live_bias(model, it.dim_out),
        over="example",
        often=places,
        reads_data=first,
        module="Conv2d",
    )
