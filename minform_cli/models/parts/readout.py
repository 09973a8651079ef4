"""From the last tokens to the task's outputs: which vectors are read, then the task's head.

`class-token` reads the first token, `mean` the average of all, `pooler` tanh(x_0 W + b) of the first, `tokens` every
token by itself. Numbers: the head's, and N^2 + N of a pooler.
Sources: arXiv 2010.11929, section 3.1; arXiv 2205.01580; arXiv 1810.04805 (pooler).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Part, has_bias, linear
from minform_cli.registry import Registry

Pick = Callable[[Tensor, Tensor | None], Tensor]

READOUTS: Registry[Pick] = Registry("readout")


@READOUTS.register("class-token")
@READOUTS.register("pooler")
def first_token(
    tokens: Float[Tensor, "b t n"],
    real: Bool[Tensor, "b t"] | None = None,  # noqa: ARG001  (the first token always is)
) -> Float[Tensor, "b n"]:
    """The first token's last state."""
    return tokens[:, 0]


@READOUTS.register("mean")
def mean_of_tokens(tokens: Float[Tensor, "b t n"], real: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b n"]:
    """The mean over tokens, without those that only fill up the batch."""
    if real is None:
        return tokens.mean(dim=1)
    weights = real.to(tokens.dtype).unsqueeze(-1)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1)


@READOUTS.register("tokens")
def every_token(
    tokens: Float[Tensor, "b t n"],
    real: Bool[Tensor, "b t"] | None = None,  # noqa: ARG001  (the task says which it wants)
) -> Float[Tensor, "p n"]:
    """All tokens of all examples, one after another."""
    return tokens.flatten(0, 1)


class ExampleReadout(Part):
    """One vector per example, through a pooler -> `pooler` where there is one, and the task's head -> `head`.

    Args:
        model: sizes and parts.
        head: None stops at the vector.
    """

    parameter_group = "head"

    def __init__(self, model: ModelConfig, head: nn.Module | None) -> None:
        super().__init__()
        self.pick = READOUTS.get(model.readout.kind)
        pooled = model.readout.kind == "pooler"
        self.pooler = linear(model.dim, model.dim, bias=has_bias(model)) if pooled else None
        self.head = head

    def forward(self, tokens: Float[Tensor, "b t n"], real: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b m"]:
        """The task's outputs, (B, M); without a head the vectors, (B, N)."""
        picked = self.pick(tokens, real)
        if self.pooler is not None:
            picked = torch.tanh(self.pooler(picked))
        return picked if self.head is None else self.head(picked)


class TokenReadout(Part):
    """The task's head -> `head` on every token, or on those that are asked for."""

    parameter_group = "head"

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

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
        flat = every_token(tokens, None)
        return self.head(flat if predict is None else flat[predict], table)
