"""From the last tokens to the task's outputs: pick one vector per example, then the task's head.

`class-token` takes the first token, `mean` the average of all. Numbers: the head's, N M (+ M).
Sources: arXiv 2010.11929, section 3.1; arXiv 2205.01580.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.models.parts.base import Part
from minform_cli.registry import Registry

READOUTS: Registry[Callable[[Tensor], Tensor]] = Registry("readout")


@READOUTS.register("class-token")
def first_token(tokens: Float[Tensor, "b t n"]) -> Float[Tensor, "b n"]:
    """The class token's last state."""
    return tokens[:, 0]


@READOUTS.register("mean")
def mean_of_tokens(tokens: Float[Tensor, "b t n"]) -> Float[Tensor, "b n"]:
    """The mean over tokens."""
    return tokens.mean(dim=1)


class Readout(Part):
    """One vector per example, through the task's head -> `head`."""

    parameter_group = "head"

    def __init__(self, kind: str, head: nn.Module) -> None:
        super().__init__()
        self.pick = READOUTS.get(kind)
        self.head = head

    def forward(self, tokens: Float[Tensor, "b t n"]) -> Float[Tensor, "b m"]:
        """The task's outputs."""
        return self.head(self.pick(tokens))
