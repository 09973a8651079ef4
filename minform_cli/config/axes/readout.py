"""Axis `readout`: which vector of the last block goes to the head."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, Requires, new_axis
from minform_cli.config.axes.bias import dead_bias, live_bias
from minform_cli.config.axes.embedding import embeddings_of
from minform_cli.config.form import Map, ReadoutForm

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class Readout(PartOptions, frozen=True):
    """Base of the readouts.

    Class attributes:
        per_example: whether it gives one vector an example, and not one a token.
        reads_all: whether all tokens are read, and not learned ones alone.
        heads: how many of the task's heads there are, each for a vector of its own; their mean is the output.
    """

    per_example: ClassVar[bool] = True
    reads_all: ClassVar[bool] = True
    heads: ClassVar[int] = 1

    @abstractmethod
    def form(self, model: ModelConfig) -> ReadoutForm:
        """What it is made of, the task's head apart."""


READOUT = new_axis("readout", "which vector goes to the head", Readout)


def readouts(*, per_example: bool = True) -> tuple[str, ...]:
    """Those that give one vector an example, or one a token."""
    return tuple(kind for kind in READOUT.names() if READOUT.get(kind).per_example == per_example)


class OfExamples(Readout, frozen=True):
    """Base of the readouts that give one vector an example.

    Attributes:
        reference_class: whether a head of classes leaves the last of them out, its output being 0.
    """

    reference_class: bool = Field(default=False, exclude_if=lambda reference: not reference)


def has_reference_class(model: ModelConfig) -> bool:
    """Whether a head of classes leaves the last of them out."""
    return isinstance(model.readout, OfExamples) and model.readout.reference_class


@READOUT.part
class ClassToken(OfExamples, frozen=True):
    """A learned token put before the others; its last state goes to the head. Text brings its own: the first token.

    Attributes:
        beside: further learned tokens behind it, which no head reads: registers, or a token to distil into.
    """

    kind: Literal["class-token"] = "class-token"
    beside: int = Field(default=0, ge=0, le=1024, exclude_if=lambda beside: not beside)
    meaning = "a learned token put before the others (text brings its own)"
    source = (
        "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1; "
        "beside it: Vision Transformers Need Registers, arXiv 2309.16588"
    )
    reads_all = False

    def form(self, model: ModelConfig) -> ReadoutForm:  # noqa: ARG002, D102
        return ReadoutForm(module="FirstToken", tokens=1 + self.beside)

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        if not self.beside or model.embedding.kind in embeddings_of("images"):
            return None
        return (
            f"model.readout {self.kind!r} puts {self.beside} learned tokens beside the class token, and "
            f"model.embedding {model.embedding.kind!r} brings its tokens from the text; accepted: beside: 0"
        )


@READOUT.part
class Distilled(Readout, frozen=True):
    """Two learned tokens put before the others, class and distillation; each has a head, and their mean is the output.

    The loss is that of the mean, here; the authors train the second head by another model's classes.
    """

    kind: Literal["distilled"] = "distilled"
    meaning = "a class token and a distillation token, a head for each, the mean of both"
    source = "Training data-efficient image transformers, arXiv 2012.12877, section 4 (as it classifies)"
    requires: ClassVar[Requires] = {"embedding": embeddings_of("images")}
    why = "text brings its own tokens, and none to distil into"
    reads_all = False
    heads = 2

    def form(self, model: ModelConfig) -> ReadoutForm:  # noqa: ARG002, D102
        return ReadoutForm(module="ClassAndDistillation", tokens=2)


@READOUT.part
class Mean(OfExamples, frozen=True):
    """The mean of all tokens; no class token."""

    kind: Literal["mean"] = "mean"
    meaning = "the mean of all tokens, no class token"
    source = "Better plain ViT baselines for ImageNet-1k, arXiv 2205.01580"

    def form(self, model: ModelConfig) -> ReadoutForm:  # noqa: ARG002, D102
        return ReadoutForm(module="MeanOfTokens")


@READOUT.part
class Pooler(OfExamples, frozen=True):
    """The class token's last state through a linear map and tanh.

    Attributes:
        activation: behind the map: `tanh`, or `relu` as DistilBERT's classes are told.
    """

    kind: Literal["pooler"] = "pooler"
    activation: Literal["tanh", "relu"] = Field(default="tanh", exclude_if=lambda activation: activation == "tanh")
    meaning = "the class token through a linear map and tanh"
    source = "BERT, arXiv 1810.04805, section 3, as its published code pools; DistilBERT's code (relu)"
    reads_all = False

    def form(self, model: ModelConfig) -> ReadoutForm:  # noqa: D102
        n = model.dim
        pooler = Map(name="pooler", dim_in=n, dim_out=n, bias=live_bias(model, n), over="example")
        return ReadoutForm(module="Pooler", holds=(pooler,), tokens=1)


@READOUT.part
class EveryToken(Readout, frozen=True):
    """The last state of every token, for tasks that predict tokens."""

    kind: Literal["tokens"] = "tokens"
    meaning = "every token by itself, to predict tokens"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.4"
    requires: ClassVar[Requires] = {"embedding": embeddings_of("text")}
    why = "image patches have no entries of a vocabulary to predict"
    per_example = False

    def form(self, model: ModelConfig) -> ReadoutForm:  # noqa: ARG002, D102
        return ReadoutForm(module="EveryToken", per_example=False)


@READOUT.part
class SequencePool(OfExamples, frozen=True):
    """The mean of all tokens, weighted by the softmax over a learned score of each; no class token."""

    kind: Literal["sequence-pool"] = "sequence-pool"
    meaning = "the mean of all tokens, weighted by the softmax over a learned score of each"
    source = "Escaping the Big Data Paradigm with Compact Transformers, arXiv 2104.05704, section 3.3"

    def form(self, model: ModelConfig) -> ReadoutForm:
        """N for the score, and a bias of 1, which is dead: softmax cancels what is added to all scores."""
        bias = dead_bias(model, 1)
        score = Map(name="score", dim_in=model.dim, dim_out=1, bias=bias)
        return ReadoutForm(module="SequencePool", holds=(score,), dead={"score.bias": bias} if bias else {})
