"""What every similarity offers: queries and keys, so that scores_h = q_h k_h^T / sqrt(d) whatever the part.

Initial scale. With tokens of independent entries of variance 1, the standard part's weights of variance 1 / N give
scores of two different tokens the variance 1 (d terms of variance 1, over d). Every other part starts its weights
so that its scores have that variance too; each file says how.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import Absent, Part, by_columns, for_heads
from minform_cli.models.parts.linear import Matrix, write_map
from minform_cli.registry import Registry

SIMILARITIES: Registry[type[Similarity] | Absent] = Registry("similarity")
SIMILARITIES.register("none")(Absent("the attention gave nothing: W_O and its bias were zero"))


Asked = Float[Tensor, "b *asked"]
"""Tokens that are asked, (B, S, N); for a part that borrows its keys, those, (B, g, S, E)."""
Side = Literal["both", "queries", "keys"]


class QueryKey(NamedTuple):
    """Queries by head, (B, H, T, E), and keys by head or by group of heads, (B, g, S, E)."""

    queries: Float[Tensor, "b h t e"]
    keys: Float[Tensor, "b g s e"]

    def products(self) -> Float[Tensor, "b h t s"]:
        """The scores of every head, times sqrt(d)."""
        return self.queries @ for_heads(self.keys, self.queries.shape[1]).mT


class Projections(NamedTuple):
    """Separate projections of queries and keys with the same scores, in float64: W (N, N), b (N,)."""

    queries: Matrix
    keys: Matrix


class Similarity(Part):
    """Base of the similarities: knows the sizes.

    Weights out of those of separate projections are what is nearest in the mean square over scores of tokens of
    independent entries, or as each file says; a dead key bias gets lost, and a query bias where there is none.

    Class attributes:
        one_map: whether keys are made as queries are, so that those of the same tokens are the same.

    Attributes:
        borrows: whether it compares with keys that another block has lent, and is given them in the place of tokens.
        lends: whether its keys are for blocks after it, too.
    """

    parameter_group = "query_key"
    one_map: ClassVar[bool] = False
    borrows = lends = False

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.dim, self.heads, self.head_dim, self.inner = model.dim, model.heads, model.head_dim, model.inner_dim

    def forward(self, x: Float[Tensor, "b t n"], y: Asked) -> QueryKey:
        """Queries of the tokens `x` and keys of the tokens `y`, not yet divided by sqrt(d).

        In self-attention `y` is `x`, the same object: what serves in both roles is then computed once.
        """
        queries = self.queries(x)
        return QueryKey(queries, queries if y is x and self.one_map else self.keys(y))

    def first(self, x: Float[Tensor, "b t n"], y: Asked, tokens: int) -> QueryKey:
        """What `forward` gives, with the queries of the first tokens alone."""
        keys = self.keys(y)
        return QueryKey(keys[:, :, :tokens] if y is x and self.one_map else self.queries(x[:, :tokens]), keys)

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Queries of the tokens `x`."""
        raise NotImplementedError

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b g s e"]:
        """Keys of the tokens `y`, by head or by group of heads."""
        raise NotImplementedError

    def projections(self) -> Projections:
        """Separate ones that give the same scores.

        Raises:
            InputError: d columns a head are not enough for them.
        """
        raise NotImplementedError

    def as_separate(self, target: Similarity) -> None:
        """Gives `target`, of separate projections, the weights with which it does what this does."""
        queries, keys = self.projections()
        write_map(target.get_submodule("w_q"), *queries)
        write_map(target.get_submodule("w_k"), *keys)

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"], side: Side = "both") -> None:  # noqa: ARG002
        """Makes scores of tokens x what those of x `product` + `shift` were.

        Args:
            product, shift: what was done to the tokens.
            side: the tokens that it was done to: those that ask, those that are asked, or both.

        Raises:
            InputError: this part cannot.
        """
        raise InputError(f"{type(self).__name__} reads the tokens themselves, so nothing goes into its weights")

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:
        if not isinstance(source, Similarity):
            super()._take(source, beside)
            return
        self._fit(source.projections())

    def _fit(self, given: Projections) -> None:
        """Takes the weights that are nearest to the given ones."""
        raise NotImplementedError

    def by_head(self, weight: Float[Tensor, "m n"]) -> Float[Tensor, "h m e"]:
        """The columns of each head."""
        return by_columns(weight, self.heads)

    def products(self, given: Projections) -> Float[Tensor, "h n n"]:
        """W_Qh W_Kh^T of every head."""
        return self.by_head(given.queries.weight) @ self.by_head(given.keys.weight).transpose(1, 2)

    def own_blocks(self, matrices: Float[Tensor, "h n m"]) -> Float[Tensor, "h e m"]:
        """Of each head's matrix, the rows of the columns that the head has of a token."""
        return matrices.unflatten(1, (self.heads, -1)).diagonal(dim1=0, dim2=1).permute(2, 0, 1)


def one_side(part: nn.Module, side: Side) -> None:
    """Raises `InputError` where a part with one projection for both sides is to be told about one of them."""
    if side != "both":
        raise InputError(f"{type(part).__name__} has one projection for both sides, and only one of them changes")


def head_bias(given: Projections, heads: int) -> Float[Tensor, "h one e"]:
    """b_Q of every head."""
    return given.queries.bias.view(heads, 1, -1)


def joined(by_head: Float[Tensor, "h m e"]) -> Float[Tensor, "m n"]:
    """Every head's columns, side by side."""
    return by_head.transpose(0, 1).flatten(1)
