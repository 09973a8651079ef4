"""The value paths: what attention mixes (`values`), and how the mixed heads become tokens again (`merge`).

Each part's formula is written for one attention; A_h is softmax of the scores of head h.
Sources: arXiv 2410.13732 (collapsed W_VO, omitted W_V and W_O, collapsing over the stack); K = V from Do Transformers
Need Three Projections? (ICML 2026); separate from arXiv 1706.03762, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.norm import written
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import Absent, Part, by_columns, by_rows, has_bias, join_heads, split_heads
from minform_cli.models.parts.centred import columns_for, writer
from minform_cli.models.parts.linear import Matrix, absorbed, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import Similarity
from minform_cli.registry import Registry

VALUES: Registry[type[Value] | Absent] = Registry("value")


class ValueMaps(NamedTuple):
    """Separate maps with the same outputs, in float64: W (N, N), b (N,)."""

    values: Matrix
    output: Matrix


class Value(Part):
    """Base of the value paths.

    Class attributes:
        after_stack: builds what stands once, after the last block; None: nothing does.
    """

    parameter_group = "value_output"
    after_stack: ClassVar[Callable[[ModelConfig], StackOutput] | None] = None

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.dim, self.heads = model.dim, model.heads

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:
        """What each head mixes, from the tokens `y` that are attended to or from their keys."""
        raise NotImplementedError

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """Tokens from what the heads mixed."""
        raise NotImplementedError

    def maps(self, similarity: Similarity | None) -> ValueMaps:  # noqa: ARG002
        """Separate ones that do the same, beside such a `similarity`.

        Raises:
            InputError: there are none.
        """
        raise InputError(f"{type(self).__name__} does what no W_V and W_O do")

    def as_separate(self, target: Value, similarity: Similarity) -> None:
        """Gives `target`, of separate maps, the weights with which it does what this does beside its `similarity`."""
        values, output = self.maps(similarity)
        write_map(target.get_submodule("w_v"), *values)
        write_map(target.get_submodule("w_o"), *output)

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:  # noqa: ARG002
        """Makes of tokens x what was made of x `product` + `shift`, the keys being the same.

        Raises:
            InputError: this part cannot.
        """
        raise InputError(f"{type(self).__name__} mixes the tokens themselves, so nothing goes into its weights")

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:
        if not isinstance(source, Value):
            super()._take(source, beside)
            return
        if type(source) is type(self) and dict(self.named_children()).keys() == dict(source.named_children()).keys():
            self.restore(source)
            return
        self._fit(source.maps(None), cast("Similarity | None", beside))

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:
        """Takes the weights that are nearest to the given ones, beside such a `similarity`."""
        raise NotImplementedError

    def restore(self, source: Value) -> None:
        """Takes over the maps of a part of its kind, which may store them otherwise."""
        for name, part in self.named_children():
            write_map(part, *read_map(source.get_submodule(name)))

    def products(self, given: ValueMaps) -> Float[Tensor, "h n n"]:
        """W_Vh W_Oh of every head."""
        return by_columns(given.values.weight, self.heads) @ by_rows(given.output.weight, self.heads)

    def identities(self) -> ValueMaps:
        """No map at all."""
        one, nothing = torch.eye(self.dim, dtype=torch.float64), torch.zeros(self.dim, dtype=torch.float64)
        return ValueMaps(Matrix(one, nothing), Matrix(one, nothing))


@VALUES.register("separate")
class Separate(Value):
    """concat_h(A_h x W_Vh) W_O. W_V -> `w_v`, W_O -> `w_o`. Numbers: 2 N^2, biases 2 N (b_V is redundant, not dead)."""

    exact_where = "everywhere, as dense maps or chains of full rank"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_v = linear_map(model, "qkv", model.dim, model.dim, bias=has_bias(model))
        self.w_o = writer(model, "output", model.dim, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Projected values."""
        return split_heads(self.w_v(y), self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Into W_V."""
        absorbed(self.w_v, product, shift)

    def maps(self, similarity: Similarity | None) -> ValueMaps:  # noqa: ARG002
        """Its own."""
        return ValueMaps(read_map(self.w_v), read_map(self.w_o))

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:  # noqa: ARG002
        write_map(self.w_v, *given.values)
        write_map(self.w_o, *given.output)


@VALUES.register("collapsed")
class Collapsed(Value):
    """sum_h A_h x W_VOh + b. W_VOh -> rows h N to (h + 1) N of `w_vo.weight`, transposed; b -> `b_vo`.

    Numbers: H N^2 instead of 2 N^2, so it saves at H = 1 only; one bias of N, into which b_V and b_O merge.
    Initial scale: the variance of W_Vh W_Oh, d / N^2.
    """

    exact_where = "everywhere: rows of A_h add up to 1, so that b is b_V W_O + b_O"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        std = math.sqrt(model.head_dim) / model.dim
        self.w_vo = writer(model, "output", model.dim, bias=False, times=self.heads, std=std)
        self.b_vo = nn.Parameter(torch.zeros(written(model))) if has_bias(model) else None

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Full-width values of every head."""
        return split_heads(self.w_vo(y), self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The sum of the heads."""
        merged = mixed.squeeze(1) if self.heads == 1 else mixed.sum(dim=1)
        return merged if self.b_vo is None else merged + self._bias(self.b_vo)

    def maps(self, similarity: Similarity | None) -> ValueMaps:
        """W_VO and the identity, with one head."""
        if self.heads > 1:
            return super().maps(similarity)
        weight = read_map(self.w_vo).weight
        bias = torch.zeros_like(weight[0]) if self.b_vo is None else self._bias(self.b_vo.detach().double())
        return ValueMaps(Matrix(weight, torch.zeros_like(bias)), Matrix(torch.eye(self.dim).to(weight), bias))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Into W_VO of every head and b."""
        by_head = by_columns(read_map(self.w_vo).weight, self.heads)
        with torch.no_grad():
            if self.b_vo is not None:
                bias = self._bias(self.b_vo.double()) + shift @ by_head.sum(0)
                self.b_vo.copy_(columns_for(bias, len(self.b_vo)))
        write_map(self.w_vo, (product @ by_head).transpose(0, 1).flatten(1))

    def restore(self, source: Value) -> None:
        """Its bias too."""
        super().restore(source)
        theirs = dict(source.named_parameters()).get("b_vo")
        if self.b_vo is not None and theirs is not None:
            self.b_vo.copy_(columns_for(theirs, len(self.b_vo)))

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:  # noqa: ARG002
        write_map(self.w_vo, self.products(given).transpose(0, 1).flatten(1))
        if self.b_vo is not None:
            bias = given.values.bias @ given.output.weight + given.output.bias
            self.b_vo.copy_(columns_for(bias, len(self.b_vo)))

    def _bias(self, stored: Tensor) -> Tensor:
        """b, its implied last number too."""
        return columns_for(stored, self.dim)


class Omitted(Value):
    """concat_h(A_h x_h): convex combinations of the tokens themselves. Numbers: none."""

    exact_where = "W_V W_O was the identity, head by head"

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
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


@VALUES.register("key")
class Key(Value):
    """concat_h(A_h K_h) W_O, the keys as values. W_O -> `w_o`. Numbers: N^2 and a bias of N.

    Out of separate maps: the least squares W_Oh that makes of the keys what W_Vh W_Oh made of the tokens.
    """

    exact_where = "W_K is invertible, with one head; with more, W_Vh reads what W_Kh reads"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.w_o = writer(model, "output", model.dim, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
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

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b h s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Projected gated tokens."""
        return split_heads(self.w_v(y * torch.sigmoid(self.gate(y))), self.heads)

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(join_heads(mixed))

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:  # noqa: ARG002
        write_map(self.gate, torch.zeros_like(given.values.weight))
        write_map(self.w_v, 2 * given.values.weight, given.values.bias)
        write_map(self.w_o, *given.output)


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
VALUES.register("none")(Absent("W_O and its bias were zero"))


def stack_output(model: ModelConfig) -> StackOutput | None:
    """What the value path of `model` puts after the last block."""
    value = VALUES.get(model.value.kind)
    return None if isinstance(value, Absent) or value.after_stack is None else value.after_stack(model)
