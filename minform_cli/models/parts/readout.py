"""From the last tokens to the task's outputs: which vectors are read, then the task's head.

`class-token` reads the first token, `mean` the average of all, `pooler` tanh(x_0 W + b) of the first, `distilled` the
first two, `tokens` every token by itself. Numbers: the head's, two heads' of `distilled`, and N^2 + N of a pooler.
Sources: arXiv 2010.11929, section 3.1; arXiv 2205.01580; arXiv 1810.04805 (pooler); arXiv 2012.12877 (distilled).
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minform_cli.config.axes.readout import Pooler as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import Part, copied, has_bias, has_dead_bias, linear
from minform_cli.models.parts.linear import absorbed, read_map, write_map
from minform_cli.registry import Registry
from minform_cli.tasks.class_head import MeanOfHeads, took_classes


class Readout(Part):
    """Base of the readouts. The task's head -> `head`, after what a readout has of its own.

    Args:
        model: sizes and parts.
        head: None stops at the vectors.

    Class attributes:
        head_reads_tokens: whether the head reads tokens or means of them, and not what a map has made of them.
        reads: how many tokens it reads, the first ones; None: all.
    """

    parameter_group = "head"
    reads: ClassVar[int | None] = None
    head_reads_tokens: ClassVar[bool] = True

    def __init__(self, model: ModelConfig, head: nn.Module | None) -> None:
        super().__init__()
        self.add_weights(model)
        self.head = head

    def add_weights(self, model: ModelConfig) -> None:
        """Makes what the readout itself holds."""

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:
        alike = type(source) is type(self)
        if not isinstance(source, Readout) or (self.no_source and not alike):
            super()._take(source, beside)
            return
        if alike:
            for name, part in self._own_maps():
                write_map(part, *read_map(source.get_submodule(name)))
        else:
            self._take_own(source)
        if self.head is None:
            return
        if source.head is None or not (copied(source.head, self.head) or took_classes(self.head, source.head)):
            why = "another size" if type(source.head) is type(self.head) else "another task"
            raise InputError(f"the head has no weights from {type(source.head).__name__}: it is of {why}")

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Makes of tokens x what was made of x `product` + `shift`; only a head that is a map of its own can."""
        for _, part in self._own_maps():
            absorbed(part, product, shift)
        if self.head_reads_tokens:
            assert self.head is not None, "vectors without a head are the outputs"
            reading = list(self.head.children()) if isinstance(self.head, MeanOfHeads) else [self.head]
            for head in reading:
                absorbed(getattr(head, "first", head), product, shift)

    def _own_maps(self) -> list[tuple[str, nn.Module]]:
        return [(name, part) for name, part in self.named_children() if name != "head"]

    def _take_own(self, source: Readout) -> None:
        """Takes what the readout itself holds."""


class ExampleReadout(Readout):
    """Base of the readouts that give one vector an example."""

    def forward(self, tokens: Float[Tensor, "b t n"], real: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b m"]:
        """The task's outputs, (B, M); without a head the vectors, (B, N).

        Args:
            tokens: the last block's.
            real: False where a token only fills up the batch; None: nowhere.
        """
        picked = self.pick(tokens, real)
        return picked if self.head is None else self.head(picked)

    def pick(self, tokens: Float[Tensor, "b t n"], real: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b n"]:
        """The vector of each example."""
        raise NotImplementedError


class TokenReadout(Readout):
    """Base of the readouts that give one vector a token."""

    def forward(
        self,
        tokens: Float[Tensor, "b t n"],
        table: Float[Tensor, "v e"],
        predict: Int[Tensor, " p"] | None = None,
    ) -> Float[Tensor, "p v"]:
        """Outputs over the vocabulary.

        Args:
            tokens: the last block's.
            table: vectors of the vocabulary, for a head whose output is tied to them (then e is n).
            predict: places in the flattened batch; None: all.
        """
        raise NotImplementedError


READOUTS: Registry[type[Readout]] = Registry("readout")


@READOUTS.register("class-token")
class FirstToken(ExampleReadout):
    """The first token's last state; it always is a real one."""

    exact_where = "it was read before"
    reads = 1

    def pick(self, tokens: Float[Tensor, "b t n"], real: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b n"]:  # noqa: ARG002
        """The first."""
        return tokens[:, 0]


@READOUTS.register("distilled")
class ClassAndDistillation(ExampleReadout):
    """The first two tokens' last states, for a head each."""

    no_source = "a head of its own reads the distillation token"
    reads = 2

    def pick(self, tokens: Float[Tensor, "b t n"], real: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b 2 n"]:  # noqa: ARG002
        """The first two."""
        return tokens[:, :2]


@READOUTS.register("mean")
class MeanOfTokens(ExampleReadout):
    """The mean over tokens, without those that only fill up the batch."""

    exact_where = "all tokens of an example were alike, or it was read before"

    def pick(self, tokens: Float[Tensor, "b t n"], real: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b n"]:
        """The mean."""
        if real is None:
            return tokens.mean(dim=1)
        weights = real.to(tokens.dtype).unsqueeze(-1)
        return (tokens * weights).sum(dim=1) / weights.sum(dim=1)


@READOUTS.register("pooler")
class Pooler(ExampleReadout):
    """tanh(x_0 W + b) of the first token, or relu(x_0 W + b). W, b -> `pooler`."""

    no_source = "its activation lets no vector through as it is"
    head_reads_tokens = False
    reads = 1

    def add_weights(self, model: ModelConfig) -> None:
        """The map."""
        self.relu = cast(Options, model.readout).activation == "relu"
        self.pooler = linear(model.dim, model.dim, bias=has_bias(model))

    def pick(self, tokens: Float[Tensor, "b t n"], real: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b n"]:  # noqa: ARG002
        """The first, through both."""
        x: Tensor = self.pooler(tokens[:, 0])
        return x.relu() if self.relu else x.tanh()


class EveryToken(TokenReadout):
    """Every token, or those that are asked for, through the task's head."""

    exact_where = "the task stays the same"

    def forward(
        self,
        tokens: Float[Tensor, "b t n"],
        table: Float[Tensor, "v e"],
        predict: Int[Tensor, " p"] | None = None,
    ) -> Float[Tensor, "p v"]:
        """All tokens of all examples, one after another."""
        assert self.head is not None, "tokens without a head are no outputs"
        flat = tokens.flatten(0, 1)
        return self.head(flat if predict is None else flat[predict], table)


READOUTS.register("tokens")(EveryToken)


@READOUTS.register("sequence-pool")
class SequencePool(ExampleReadout):
    """sum_t softmax_t(x_t w + b) x_t over the tokens t that do not only fill up the batch. w, b -> `score`.

    Numbers: N, and the source's N + 1 under ``bias: all`` alone: softmax cancels b, so it is dead.
    Initial scale: N(0, 0.02^2), as the authors' code has it, so that it begins close to the mean.
    Source: Escaping the Big Data Paradigm with Compact Transformers, arXiv 2104.05704, section 3.3.
    """

    exact_where = "the mean was read before: scores of zero"

    def add_weights(self, model: ModelConfig) -> None:
        """The map to the scores."""
        self.score = linear(model.dim, 1, bias=has_dead_bias(model), std=0.02)

    def pick(self, tokens: Float[Tensor, "b t n"], real: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b n"]:
        """The weighted mean."""
        scores: Tensor = self.score(tokens)
        if real is not None:
            scores = scores.masked_fill(~real.unsqueeze(-1), -torch.inf)
        return (scores.softmax(dim=1) * tokens).sum(dim=1)

    def _take_own(self, source: Readout) -> None:
        if not isinstance(source, MeanOfTokens):
            raise InputError(f"{type(self).__name__} has no weights from {type(source).__name__}: it reads one token")
        nn.init.zeros_(self.score.weight)
