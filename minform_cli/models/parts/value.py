"""The value paths: what attention mixes (`values`), and how the mixed heads become tokens again (`merge`).

Each part's formula is written for one attention; A_h is softmax of the scores of head h.
Sources: arXiv 2410.13732 (collapsed W_VO, omitted W_V and W_O, collapsing over the stack); K = V from Do Transformers
Need Three Projections? (ICML 2026); separate from arXiv 1706.03762, section 3.2.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Part, has_bias, join_heads, split_heads
from minform_cli.models.parts.linear import linear_map
from minform_cli.registry import Registry

VALUES: Registry[type[Value]] = Registry("value")


class Value(Part):
    """Base of the value paths."""

    parameter_group = "value_output"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.dim, self.heads = model.dim, model.heads

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:
        """What each head mixes, from the tokens `y` that are attended to or from their keys."""
        raise NotImplementedError

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """Tokens from what the heads mixed."""
        raise NotImplementedError


@VALUES.register("separate")
class Separate(Value):
    """concat_h(A_h x W_Vh) W_O. W_V -> `w_v`, W_O -> `w_o`. Numbers: 2 N^2, biases 2 N (b_V is redundant, not dead)."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_v = linear_map(model, "qkv", model.dim, model.dim, bias=has_bias(model))
        self.w_o = linear_map(model, "output", model.dim, model.dim, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Projected values."""
        return split_heads(self.w_v(y), self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))


@VALUES.register("collapsed")
class Collapsed(Value):
    """sum_h A_h x W_VOh + b. W_VOh -> rows h N to (h + 1) N of `w_vo.weight`, transposed; b -> `b_vo`.

    Numbers: H N^2 instead of 2 N^2, so it saves at H = 1 only; one bias of N, into which b_V and b_O merge.
    Initial scale: the variance of W_Vh W_Oh, d / N^2.
    """

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        std = math.sqrt(model.head_dim) / model.dim
        self.w_vo = linear_map(model, "output", model.dim, self.heads * model.dim, bias=False, std=std)
        self.b_vo = nn.Parameter(torch.zeros(model.dim)) if has_bias(model) else None

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Full-width values of every head."""
        return split_heads(self.w_vo(y), self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The sum of the heads."""
        merged = mixed.squeeze(1) if self.heads == 1 else mixed.sum(dim=1)
        return merged if self.b_vo is None else merged + self.b_vo


@VALUES.register("omitted")
class Omitted(Value):
    """concat_h(A_h x_h): convex combinations of the tokens themselves. Numbers: none."""

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """The head's columns of the tokens."""
        return split_heads(y, self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side."""
        return join_heads(mixed)


@VALUES.register("stack-collapsed")
class StackCollapsed(Omitted):
    """A x with one head: the stack's single W_VO stands after the last block (`StackOutput`). Numbers here: none."""


@VALUES.register("key")
class Key(Value):
    """concat_h(A_h K_h) W_O, the keys as values. W_O -> `w_o`. Numbers: N^2 and a bias of N."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_o = linear_map(model, "output", model.dim, model.dim, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """The keys."""
        return keys

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))


@VALUES.register("kgv")
class KeyGatedValue(Value):
    """concat_h(A_h V'_h) W_O with V' = (x * sigmoid(x A + a)) C + c, full width before the heads are split.

    A -> `gate`, C -> `w_v`, W_O -> `w_o`. Numbers: 3 N^2, biases 3 N (c is redundant, not dead). The gate starts
    around one half, so values start about half as large as those of `separate`.
    Source: Anthe, arXiv 2305.10991.
    """

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.gate = linear_map(model, "qkv", model.dim, model.dim, bias=has_bias(model))
        self.w_v = linear_map(model, "qkv", model.dim, model.dim, bias=has_bias(model))
        self.w_o = linear_map(model, "output", model.dim, model.dim, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Projected gated tokens."""
        return split_heads(self.w_v(y * torch.sigmoid(self.gate(y))), self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))


class StackOutput(Part):
    """x W_VO + b after the last block: the product of all blocks' W_VO. Numbers: N^2 and a bias of N."""

    parameter_group = "value_output"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.w_vo = linear_map(model, "output", model.dim, model.dim, bias=has_bias(model))

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Every token through W_VO."""
        return self.w_vo(x)
