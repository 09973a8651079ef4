"""Axis `similarity`: how the attention scores of one query and one key come about."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field

from minform_cli.config.axes.base import NumberOrShare, PartOptions, Requires, WholeOrShare, columns_of, new_axis
from minform_cli.config.axes.bias import dead_bias, has_bias, live_bias
from minform_cli.config.axes.groups import groups_of, illegal_groups
from minform_cli.config.axes.ranks import Pivoted, Rank, illegal_rank, ranks_of
from minform_cli.config.form import Map, Over, SimilarityForm, Weights

if TYPE_CHECKING:
    from minform_cli.config.axes.linear import Linear
    from minform_cli.config.axes.value import Value
    from minform_cli.config.schema import ModelConfig


class Similarity(PartOptions, frozen=True):
    """Base of the similarities.

    Class attributes:
        absorbs: whether a scale and a shift of the tokens can go into its weights: `each` of those that ask and those
            that are asked by themselves, of `both` alike, or not at all.
        no_gauge: why no part has the same scores and fewer numbers.
        any_width: whether its heads may be H d wide together where that is not N.
    """

    absorbs: ClassVar[Literal["each", "both", ""]] = ""
    no_gauge: ClassVar[str] = ""
    any_width: ClassVar[bool] = False

    @abstractmethod
    def form(self, model: ModelConfig) -> SimilarityForm | None:
        """One attention's; None: there is no attention."""

    def gauged(self, model: ModelConfig) -> Similarity | str:  # noqa: ARG002
        """The part that has the same scores with W_Q A and W_K A^-T for an A which leaves the fewest numbers.

        Returns:
            The part; or why there is none.
        """
        return self.no_gauge

    def no_dead_bias(self, model: ModelConfig) -> str:  # noqa: ARG002
        """Why it has no key bias that can go."""
        return "there are none"


SIMILARITY = new_axis("similarity", "how attention scores are computed", Similarity, per_block=True)
MINIMUM = "Reducing the Transformer Architecture to a Minimum, arXiv 2410.13732"


def _map(model: ModelConfig, name: str, over: Over) -> Map:
    """N x H d, with a live bias."""
    wide = model.inner_dim
    return Map(name=name, dim_in=model.dim, dim_out=wide, bias=live_bias(model, wide), role="qkv", over=over)


def _key_map(model: ModelConfig, wide: int | None = None) -> tuple[Map, dict[str, int]]:
    """W_K, to `wide` columns (None: H d), and what of it is dead.

    The key bias adds the same number to all scores of a query, which softmax cancels; unless K = V makes it a value.
    """
    n, live = model.dim, cast("Value", model.value).mixes_keys
    wide = model.inner_dim if wide is None else wide
    bias = live_bias(model, wide) if live else dead_bias(model, wide)
    w_k = Map(name="w_k", dim_in=n, dim_out=wide, bias=bias, role="qkv", over="keys")
    return w_k, {} if live or not bias else {"w_k.bias": bias}


def _biased_values(model: ModelConfig) -> str:
    """Why keys have no dead bias."""
    live = cast("Value", model.value).mixes_keys and has_bias(model)
    return "keys are values (K = V), their bias too" if live else "there are none"


def _triangle(model: ModelConfig, name: str, over: Over) -> Weights:
    """d (d + 1) / 2 numbers a head, multiplied as a full d x d matrix."""
    heads, d = model.heads, model.head_dim
    return Weights(name=name, numbers=heads * d * (d + 1) // 2, macs=heads * d**2, over=over, module="Triangle")


@SIMILARITY.part
class Separate(Similarity, frozen=True):
    """Own projections for queries and keys, the standard Transformer.

    Attributes:
        start: `symmetric`: W_K begins as W_Q, and is free afterwards; `free`: each begins by itself.
    """

    kind: Literal["separate"] = "separate"
    start: Literal["free", "symmetric"] = Field(default="free", exclude_if=lambda start: start == "free")
    meaning = "own W_Q and W_K (standard attention)"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.2; symmetric start: arXiv 2502.10927"
    any_width = True
    absorbs = "each"

    def gauged(self, model: ModelConfig) -> Similarity | str:
        """With one head the product, else pivoted factors of all d columns."""
        if cast("Value", model.value).mixes_keys:
            return "keys are values (K = V)"
        linear = cast("Linear", model.linear)
        if linear.form("qkv", model.dim, model.inner_dim) is not None:
            return f"linear {linear.kind!r} stores maps otherwise"
        return Collapsed() if model.has_whole_head else LowRank(pivoted=True)

    def no_dead_bias(self, model: ModelConfig) -> str:  # noqa: D102
        return _biased_values(model)

    def form(self, model: ModelConfig) -> SimilarityForm:  # noqa: D102
        w_k, dead = _key_map(model)
        return SimilarityForm(
            module="Separate",
            holds=(_map(model, "w_q", "queries"), w_k),
            dead=dead,
            compared=model.head_dim,
            keeps={"keys": model.inner_dim},
        )


@SIMILARITY.part
class Collapsed(Similarity, frozen=True):
    """The product W_Q W_K^T of every head as one N x N matrix."""

    kind: Literal["collapsed"] = "collapsed"
    meaning = "W_Q W_K^T of each head collapsed into one N x N matrix W_QK"
    source = f"{MINIMUM}, collapsed W_QK"
    absorbs = "each"
    no_gauge = "W_QK is the product already"

    def form(self, model: ModelConfig) -> SimilarityForm:  # noqa: D102
        n, wide = model.dim, model.heads * model.dim
        w_qk = Map(name="w_qk", dim_in=n, dim_out=wide, bias=live_bias(model, wide), role="qkv", over="queries")
        return SimilarityForm(module="Collapsed", holds=(w_qk,), compared=n, keeps={"tokens": n})


@SIMILARITY.part
class Tied(Similarity, frozen=True):
    """W_K := W_Q in every head: scores are symmetric. What the paper ran as `symmetric`."""

    kind: Literal["tied"] = "tied"
    meaning = "W_K := W_Q, symmetric scores"
    absorbs = "both"
    no_gauge = "W_K := W_Q leaves rotations alone"
    source = f"{MINIMUM}, symmetric similarity; arXiv 2406.06366, symmetric dot-product attention"
    any_width = True

    def form(self, model: ModelConfig) -> SimilarityForm:  # noqa: D102
        w_q = _map(model, "w_q", "both")
        return SimilarityForm(module="Tied", holds=(w_q,), compared=model.head_dim, keeps={"keys": model.inner_dim})


@SIMILARITY.part
class Mirrored(Similarity, frozen=True):
    """A symmetric d x d matrix per head, its free triangle stored; may be indefinite."""

    kind: Literal["mirrored"] = "mirrored"
    meaning = "symmetric d x d matrix per head with w_ij = w_ji"
    source = f"{MINIMUM}, symmetric similarity by mirrored weights"
    no_gauge = "a triangle is all there is"

    def form(self, model: ModelConfig) -> SimilarityForm:  # noqa: D102
        m = _triangle(model, "m", "queries")
        return SimilarityForm(module="Mirrored", holds=(m,), compared=model.head_dim, keeps={"tokens": model.dim})


@SIMILARITY.part
class Cholesky(Similarity, frozen=True):
    """T T^T per head with T lower triangular: symmetric and positive semidefinite."""

    kind: Literal["cholesky"] = "cholesky"
    meaning = "T T^T per head, T lower triangular (positive semidefinite)"
    source = f"{MINIMUM}, symmetric similarity by a Cholesky factor"
    no_gauge = "a triangle is all there is"

    def form(self, model: ModelConfig) -> SimilarityForm:  # noqa: D102
        t = _triangle(model, "t", "both")
        return SimilarityForm(module="Cholesky", holds=(t,), compared=model.head_dim, keeps={"keys": model.dim})


@SIMILARITY.part
class Pairwise(Similarity, frozen=True):
    """One projection for both roles and a full d x d matrix between the features of a head.

    Attributes:
        noise: standard deviation added to the identity that P starts from (the authors start from N(0, 1)).
    """

    kind: Literal["pairwise"] = "pairwise"
    noise: float = Field(default=0.02, ge=0)
    meaning = "Q P Q^T: one projection and pairwise coefficients P per head"
    source = "Symmetric Dot-Product Attention for Efficient Training of BERT, arXiv 2406.06366"
    any_width = True
    absorbs = "both"

    def gauged(self, model: ModelConfig) -> Similarity | str:
        """With one head the product."""
        if cast("Value", model.value).mixes_keys:
            return "keys are values (K = V)"
        if not model.has_whole_head or cast("Linear", model.linear).form("qkv", model.dim, model.dim) is not None:
            return "no part stores Q of Q P Q^T with an identity in it"
        return Collapsed()

    def form(self, model: ModelConfig) -> SimilarityForm:  # noqa: D102
        d = model.head_dim
        coefficients = model.heads * d**2
        p = Weights(name="p", numbers=coefficients, macs=coefficients, over="queries")
        w_q = _map(model, "w_q", "both")
        return SimilarityForm(module="Pairwise", holds=(w_q, p), compared=d, keeps={"keys": model.inner_dim})


@SIMILARITY.part
class IdentityKey(Similarity, frozen=True):
    """K_h = x_h: the input itself is asked, only queries are projected."""

    kind: Literal["identity-key"] = "identity-key"
    meaning = "W_K = I: the input itself is the key"
    source = "Anthe, arXiv 2305.10991, the keys of KgV attention"
    no_gauge = "one side is the identity already"

    def form(self, model: ModelConfig) -> SimilarityForm:  # noqa: D102
        w_q = _map(model, "w_q", "queries")
        return SimilarityForm(module="IdentityKey", holds=(w_q,), compared=model.head_dim, keeps={"tokens": model.dim})


@SIMILARITY.part
class IdentityQuery(Similarity, frozen=True):
    """Q_h = x_h: the input itself asks, only keys are projected."""

    kind: Literal["identity-query"] = "identity-query"
    meaning = "W_Q = I: the input itself is the query"
    source = "W_K, W_V is Probably All You Need, arXiv 2510.23912"
    no_gauge = "one side is the identity already"

    def no_dead_bias(self, model: ModelConfig) -> str:  # noqa: D102
        return _biased_values(model)

    def form(self, model: ModelConfig) -> SimilarityForm:  # noqa: D102
        w_k, dead = _key_map(model)
        keeps = {"keys": model.dim}
        return SimilarityForm(module="IdentityQuery", holds=(w_k,), dead=dead, compared=model.head_dim, keeps=keeps)


@SIMILARITY.part
class LowRank(Similarity, frozen=True):
    """Fewer columns of queries and keys: W_Qh and W_Kh are N x r_h, r_h at most d; the scale stays 1 / sqrt(d).

    There is no key bias under any setting. Heads of fewer columns than others are filled up with zeros when compared.

    Attributes:
        rank: r_h, one for all heads or one each; a head of rank 0 attends to all alike. Below 1: a share of d. None: d,
            which loses nothing.
        pivoted: whether r_h rows of every W_Kh are the identity, and not stored.
    """

    kind: Literal["low-rank"] = "low-rank"
    rank: Rank = None
    pivoted: bool = False
    meaning = "W_Q and W_K of fewer columns a head; pivoted: an identity in W_K, not stored"
    source = "A3 (ICML 2026), query-key of low rank; OpenMachine transformer-tricks, MatShrink (2026), pivots"
    any_width = True

    absorbs = "each"

    def gauged(self, model: ModelConfig) -> Similarity | str:
        """The same, pivoted; the product where one head keeps all columns."""
        if self.ranks(model) == (model.dim,):
            return Collapsed()
        return "it is fixed already" if self.pivoted else self.model_copy(update={"pivoted": True})

    def ranks(self, model: ModelConfig) -> tuple[int, ...]:
        """r_h of every head."""
        return ranks_of(self.rank, model)

    def form(self, model: ModelConfig) -> SimilarityForm:  # noqa: D102
        n, ranks = model.dim, self.ranks(model)
        total, widest = sum(ranks), max(ranks)
        w_q = Map(name="w_q", dim_in=n, dim_out=total, bias=live_bias(model, total), over="queries")
        stored = Pivoted(n, ranks) if self.pivoted else None
        w_k = Map(name="w_k", dim_in=n, dim_out=total, over="keys", stored=stored)
        keeps = {"keys": model.heads * widest}
        return SimilarityForm(module="LowRank", holds=(w_q, w_k), compared=widest, keeps=keeps)

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        return illegal_rank("similarity", self.rank, model)


@SIMILARITY.part
class NoSimilarity(Similarity, frozen=True):
    """No attention in the block: no scores, and nothing mixed by them."""

    kind: Literal["none"] = "none"
    meaning = "no attention in the block (with value none)"
    source = f"{MINIMUM}, the sublayers of a block"
    any_width = True
    requires: ClassVar[Requires] = {"value": ("none",)}
    why = "a block without scores has nothing to mix by"

    def no_dead_bias(self, model: ModelConfig) -> str:  # noqa: ARG002, D102
        return ""

    def form(self, model: ModelConfig) -> SimilarityForm | None:  # noqa: ARG002, D102
        return None


@SIMILARITY.part
class Grouped(Similarity, frozen=True):
    """Fewer keys than queries: groups of heads ask the same keys, which are kept once in generation.

    Attributes:
        groups: g, heads of keys; 1: all heads of queries ask the same. Below 1: the share of the heads that they are at
            most.
    """

    kind: Literal["grouped"] = "grouped"
    groups: WholeOrShare = 1
    meaning = "one W_K for each group of heads; 1 group: multi-query"
    source = "GQA, arXiv 2305.13245, section 2.2; Fast Transformer Decoding, arXiv 1911.02150, section 3"
    any_width = True
    absorbs = "each"
    no_gauge = "several heads ask the same keys"

    def no_dead_bias(self, model: ModelConfig) -> str:  # noqa: D102
        return _biased_values(model)

    def form(self, model: ModelConfig) -> SimilarityForm:
        """N H d for the queries, N g d for the keys."""
        wide = groups_of(self.groups, model) * model.head_dim
        w_k, dead = _key_map(model, wide)
        holds, keeps = (_map(model, "w_q", "queries"), w_k), {"keys": wide}
        return SimilarityForm(module="Grouped", holds=holds, dead=dead, compared=model.head_dim, keeps=keeps)

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        return illegal_groups("similarity", self.kind, self.groups, model)


@SIMILARITY.part
class Latent(Similarity, frozen=True):
    """Keys out of a latent of every token, narrower than the model, which is all that generation keeps of them.

    Attributes:
        width: C of the latent; below 1 a share of `model.dim`.
        queries: width of a latent that queries are made of, likewise; None: they are made of the tokens.
    """

    kind: Literal["latent"] = "latent"
    width: WholeOrShare = 0.25
    queries: NumberOrShare = None
    meaning = "keys (and with value latent, values) out of one narrow latent of every token"
    source = "DeepSeek-V2, arXiv 2405.04434, section 2.1.2, without its rotary part and the norms of latents"
    no_gauge = "keys and values read one latent"

    def columns(self, model: ModelConfig) -> int:
        """C."""
        return columns_of(self.width, model.dim)

    def of_queries(self, model: ModelConfig) -> int | None:
        """Width of the latent that queries are made of, if they are."""
        return None if self.queries is None else columns_of(self.queries, model.dim)

    def form(self, model: ModelConfig) -> SimilarityForm:
        """N C + C N for the keys, N C_Q + C_Q N (or N^2) for the queries; scores are taken over the latents."""
        n, wide, low = model.dim, self.columns(model), self.of_queries(model)
        if low is None:
            asks: tuple[Map, ...] = (_map(model, "w_q", "queries"),)
        else:
            down = Map(name="w_dq", dim_in=n, dim_out=low, role="qkv", over="queries")
            bias = live_bias(model, n)
            asks = (down, Map(name="w_q", dim_in=low, dim_out=n, bias=bias, role="qkv", over="queries"))
        holds = (
            *asks,
            Map(name="w_dkv", dim_in=n, dim_out=wide, role="qkv", over="keys"),
            Weights(name="w_uk", numbers=wide * n, macs=wide * n, over="queries"),
        )
        return SimilarityForm(module="Latent", holds=holds, compared=wide, keeps={"latents": wide})

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        for name, width in (("width", self.columns(model)), ("queries", self.of_queries(model))):
            if width is not None and width > model.dim:
                return (
                    f"model.similarity 'latent' has {name} {width}, above model.dim {model.dim}; accepted: 1 to "
                    f"{model.dim}, or a share below 1"
                )
        return None
