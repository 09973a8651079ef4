"""No maps of a block's own: none at all, or one for the whole stack. Source: arXiv 2410.13732."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Absent, Part, has_bias, join_heads, split_heads
from minform_cli.models.parts.linear import linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import Similarity
from minform_cli.models.parts.value.base import VALUES, Value, ValueMaps


class Omitted(Value):
    """concat_h(A_h x_h): convex combinations of the tokens themselves. Numbers: none."""

    exact_where = "W_V W_O was the identity, head by head"

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """The head's columns of the tokens."""
        return split_heads(y, self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side."""
        return join_heads(mixed)

    def maps(self, similarity: Similarity | None) -> ValueMaps:  # noqa: ARG002
        """Identities."""
        return self.identities()

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:
        """Holds nothing."""


class StackOutput(Part):
    """x W_VO + b after the last block: the product of all blocks' W_VO. Numbers: N^2 and a bias of N."""

    parameter_group = "value_output"
    exact_where = "separate, collapsed, tied or pairwise similarities, and one head"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.w_vo = linear_map(model, "output", model.dim, model.dim, bias=has_bias(model))

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Every token through W_VO."""
        return self.w_vo(x)

    def take_stack(self, attentions: Sequence[tuple[Value, Similarity]]) -> None:
        """Takes the product of the value paths of a stack; the similarities absorb what stood before them.

        Args:
            attentions: of every block in its order, the value path that is replaced and the similarity that stays.

        Raises:
            InputError: a similarity has no weights to absorb anything, or a value path has heads that do not merge.
        """
        dim = read_map(self.w_vo).weight.shape[0]
        product, shift = torch.eye(dim, dtype=torch.float64), torch.zeros(dim, dtype=torch.float64)
        for value, similarity in attentions:
            similarity.absorb(product, shift)
            values, output = value.maps(None)
            w_vo = values.weight @ output.weight
            product = product @ w_vo
            shift = shift @ w_vo + values.bias @ output.weight + output.bias
        write_map(self.w_vo, product, shift)


@VALUES.register("stack-collapsed")
class StackCollapsed(Omitted):
    """A x with one head: the stack's single W_VO stands after the last block (`StackOutput`). Numbers here: none."""

    exact_where = "everywhere, once `StackOutput` has taken what was here"
    after_stack = StackOutput


VALUES.register("omitted")(Omitted)


def stack_output(model: ModelConfig) -> StackOutput | None:
    """What the value path of `model` puts after the last block."""
    value = VALUES.get(model.value.kind)
    after = None if isinstance(value, Absent) or value.after_stack is None else value.after_stack(model)
    assert after is None or isinstance(after, StackOutput)
    return after
