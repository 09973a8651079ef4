"""What every similarity offers: queries and keys, so that scores_h = q_h k_h^T / sqrt(d) whatever the part.

Initial scale. With tokens of independent entries of variance 1, the standard part's weights of variance 1 / N give
scores of two different tokens the variance 1 (d terms of variance 1, over d). Every other part starts its weights
so that its scores have that variance too; each file says how.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Part
from minform_cli.registry import Registry

SIMILARITIES: Registry[type[Similarity]] = Registry("similarity")


class QueryKey(NamedTuple):
    """Queries and keys by head, each (B, H, T, E)."""

    queries: Float[Tensor, "b h t e"]
    keys: Float[Tensor, "b h s e"]


class Similarity(Part):
    """Base of the similarities: knows the sizes.

    Class attributes:
        one_map: whether keys are made as queries are, so that those of the same tokens are the same.
    """

    parameter_group = "query_key"
    one_map: ClassVar[bool] = False

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.dim, self.heads, self.head_dim = model.dim, model.heads, model.head_dim

    def forward(self, x: Float[Tensor, "b t n"], y: Float[Tensor, "b s n"]) -> QueryKey:
        """Queries of the tokens `x` and keys of the tokens `y`, not yet divided by sqrt(d).

        In self-attention `y` is `x`, the same object: what serves in both roles is then computed once.
        """
        queries = self.queries(x)
        return QueryKey(queries, queries if y is x and self.one_map else self.keys(y))

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Queries of the tokens `x`."""
        raise NotImplementedError

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """Keys of the tokens `y`."""
        raise NotImplementedError
