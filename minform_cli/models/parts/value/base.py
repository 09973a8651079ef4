"""What every value path offers: what attention mixes (`values`), and tokens from the mixed heads (`merge`).

Each part's formula is written for one attention; A_h is softmax of the scores of head h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import Absent, Part, by_columns, by_rows
from minform_cli.models.parts.linear import Matrix, read_map, write_map
from minform_cli.models.parts.similarity.base import Similarity
from minform_cli.registry import Registry

VALUES: Registry[type[Value] | Absent] = Registry("value")
VALUES.register("none")(Absent("W_O and its bias were zero"))


class ValueMaps(NamedTuple):
    """Separate maps with the same outputs, in float64: W (N, N), b (N,)."""

    values: Matrix
    output: Matrix


class Value(Part):
    """Base of the value paths.

    Class attributes:
        after_stack: builds what stands once, after the last block; None: nothing does.

    Attributes:
        borrows: whether it mixes values that another block has lent.
        lends: whether its values are for blocks after it, too.
    """

    parameter_group = "value_output"
    after_stack: ClassVar[Callable[[ModelConfig], Part] | None] = None
    borrows = lends = False

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.dim, self.heads, self.inner = model.dim, model.heads, model.inner_dim

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b h s f"]:
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
