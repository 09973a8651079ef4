"""Values out of the keys, or gated by them. K = V: Do Transformers Need Three Projections? (ICML 2026)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import by_columns, has_bias, join_heads, split_heads
from minform_cli.models.parts.centred import writer
from minform_cli.models.parts.linear import linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import Similarity
from minform_cli.models.parts.value.base import VALUES, Value, ValueMaps


@VALUES.register("key")
class Key(Value):
    """concat_h(A_h K_h) W_O, the keys as values. W_O -> `w_o`. Numbers: N H d and a bias of N.

    Out of separate maps: the least squares W_Oh that makes of the keys what W_Vh W_Oh made of the tokens.
    """

    exact_where = "W_K is invertible, with one head; with more, W_Vh reads what W_Kh reads"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_o = writer(model, "output", self.inner, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """The keys."""
        return keys

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """The keys have taken it in already."""

    def maps(self, similarity: Similarity | None) -> ValueMaps:
        """The key projection and W_O."""
        if similarity is None:
            raise InputError("which values the keys are depends on the similarity beside them")
        return ValueMaps(similarity.projections().keys, read_map(self.w_o))

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:
        assert similarity is not None, "keys are values: their similarity is filled before"
        keys = similarity.projections().keys
        weight = (torch.linalg.pinv(by_columns(keys.weight, self.heads)) @ self.products(given)).flatten(0, 1)
        bias = given.values.bias @ given.output.weight + given.output.bias
        write_map(self.w_o, weight, bias - keys.bias @ weight)


@VALUES.register("kgv")
class KeyGatedValue(Value):
    """concat_h(A_h V'_h) W_O with V' = (x * sigmoid(x A + a)) C + c, full width before the heads are split.

    A -> `gate`, C -> `w_v`, W_O -> `w_o`. Numbers: 3 N^2, biases 3 N (c is redundant, not dead). The gate starts
    around one half, so values start about half as large as those of `separate`.
    Source: Anthe, arXiv 2305.10991.
    """

    exact_where = "everywhere: a gate without weights is one half, so W_V becomes twice as large"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.gate = linear_map(model, "qkv", model.dim, model.dim, bias=has_bias(model))
        self.w_v = linear_map(model, "qkv", model.dim, model.dim, bias=has_bias(model))
        self.w_o = writer(model, "output", model.dim, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Projected gated tokens."""
        return split_heads(self.w_v(y * torch.sigmoid(self.gate(y))), self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:  # noqa: ARG002
        write_map(self.gate, torch.zeros_like(given.values.weight))
        write_map(self.w_v, 2 * given.values.weight, given.values.bias)
        write_map(self.w_o, *given.output)
