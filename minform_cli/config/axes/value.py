"""Axis `value`: what attention mixes, and the map back to the model's width."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from minform_cli.config.axes.base import PartOptions, Requires, WholeOrShare, new_axis
from minform_cli.config.axes.bias import has_bias, live_bias
from minform_cli.config.axes.groups import groups_of, illegal_groups
from minform_cli.config.axes.norm import centred, writer, written
from minform_cli.config.axes.ranks import Pivoted, Rank, illegal_rank, ranks_of
from minform_cli.config.axes.similarity import MINIMUM
from minform_cli.config.axes.similarity import Latent as LatentKeys
from minform_cli.config.axes.similarity import LowRank as LowRankSimilarity
from minform_cli.config.form import Form, Implied, Map, Over, Role, ValueForm, Weights

if TYPE_CHECKING:
    from minform_cli.config.axes.linear import Linear
    from minform_cli.config.schema import ModelConfig


class Value(PartOptions, frozen=True):
    """Base of the value paths.

    Class attributes:
        mixes_keys: whether the keys are the values, so that a key bias can change the output.
        stands_in_for: axis -> the kinds there in place of whose numbers this part has more.
        writes: whether what it adds to the tokens comes out of a linear map.
        absorbs: whether a scale and a shift of the tokens that it reads can go into its weights.
        no_value_bias: why no part does the same without b_V.
        no_gauge: why none does with fewer numbers of W_V and W_O.
        any_width: whether its heads may be H d wide together where that is not N.
    """

    mixes_keys: ClassVar[bool] = False
    writes: ClassVar[bool] = True
    absorbs: ClassVar[bool] = True
    no_value_bias: ClassVar[str] = ""
    no_gauge: ClassVar[str] = ""
    any_width: ClassVar[bool] = False
    stands_in_for: ClassVar[Requires] = {}

    def stands_in(self, model: ModelConfig) -> bool:
        """Whether `model` lacks what this part has in its place."""
        return any(model.parts()[axis].kind in kinds for axis, kinds in self.stands_in_for.items())

    @abstractmethod
    def form(self, model: ModelConfig) -> ValueForm | None:
        """One attention's; None: there is no attention."""

    def merged(self, model: ModelConfig) -> Value | str:  # noqa: ARG002
        """The part that does the same with b_V in b_O; or why there is none."""
        return self.no_value_bias

    def gauged(self, model: ModelConfig) -> Value | str:  # noqa: ARG002
        """The part that does the same with W_V A and A^-1 W_O for an A which leaves the fewest numbers; or why none."""
        return self.no_gauge


VALUE = new_axis("value", "what attention mixes, and how it is mapped back", Value, per_block=True)


def _map(model: ModelConfig, name: str, role: Role, over: Over) -> Map:
    """N x H d, with a live bias. What leads out of attention is for the tokens that ask."""
    wide = model.inner_dim
    return Map(name=name, dim_in=model.dim, dim_out=wide, bias=live_bias(model, wide), role=role, over=over)


def _output(model: ModelConfig) -> Map:
    return writer(model, "w_o", model.inner_dim, "output", "queries")


@VALUE.part
class Separate(Value, frozen=True):
    """Own W_V and W_O, the standard Transformer."""

    kind: Literal["separate"] = "separate"
    meaning = "own W_V and W_O (standard attention)"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.2"
    any_width = True

    def merged(self, model: ModelConfig) -> Value | str:
        """Rows of attention add up to 1, so that b_V gives b_V W_O."""
        if not has_bias(model):
            return "there are none"
        return self._stored(model) or LowRank()

    def gauged(self, model: ModelConfig) -> Value | str:
        """With one head the product, else pivoted factors of all d columns."""
        return self._stored(model) or (Collapsed() if model.has_whole_head else LowRank(pivoted=True))

    def _stored(self, model: ModelConfig) -> str:
        linear, n, wide = cast("Linear", model.linear), model.dim, model.inner_dim
        dense = linear.form("qkv", n, wide) is None and linear.form("output", wide, n) is None
        return "" if dense else f"linear {linear.kind!r} stores maps otherwise"

    def form(self, model: ModelConfig) -> ValueForm:  # noqa: D102
        holds = (_map(model, "w_v", "qkv", "keys"), _output(model))
        return ValueForm(module="Separate", holds=holds, mixed=model.head_dim, keeps={"values": model.inner_dim})


@VALUE.part
class Collapsed(Value, frozen=True):
    """The product W_V W_O of every head as one N x N matrix, per encoder."""

    kind: Literal["collapsed"] = "collapsed"
    meaning = "W_V W_O of each head collapsed into one N x N matrix W_VO"
    source = f"{MINIMUM}, collapsed W_VO"
    no_value_bias = "b_V has gone into b already"
    no_gauge = "W_VO is the product already"

    def form(self, model: ModelConfig) -> ValueForm:  # noqa: D102
        n, wide = model.dim, model.heads * model.dim
        stored = Implied(n, n, model.heads) if centred(model) else None
        w_vo = Map(name="w_vo", dim_in=n, dim_out=wide, role="output", over="keys", stored=stored)
        b_vo = Weights(name="b_vo", numbers=live_bias(model, written(model)))
        return ValueForm(module="Collapsed", holds=(w_vo, b_vo), mixed=n, keeps={"values": wide})


@VALUE.part
class StackCollapsed(Value, frozen=True):
    """The W_VO of all encoders multiplied into one matrix at the end of the stack."""

    kind: Literal["stack-collapsed"] = "stack-collapsed"
    meaning = "one W_VO for the whole stack; each W_QK absorbs the earlier ones"
    source = f"{MINIMUM}, collapsing W_VO over the encoders"
    no_value_bias = "there are none"
    no_gauge = "there is no W_V"
    requires: ClassVar[Requires] = {
        "mlp": ("none",),
        "residual": ("off",),
        "norm": ("none",),
        "order": ("sequential",),
    }
    why = "the products of W_VO merge only where nothing stands between two attentions, and blocks differ"
    writes = False
    absorbs = False

    def form(self, model: ModelConfig) -> ValueForm:  # noqa: D102
        last = Form(module="StackOutput", group="value_output", holds=(_map(model, "w_vo", "output", "tokens"),))
        keeps = {"tokens": model.dim}
        return ValueForm(module="StackCollapsed", mixed=model.head_dim, keeps=keeps, after_stack=last)

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        if model.decoder_depth:
            return "value 'stack-collapsed' needs model.decoder_depth 0: a decoder mixes two sequences"
        if model.heads == 1:
            return None
        return f"value 'stack-collapsed' needs model.heads 1, not {model.heads}: heads mix before the next attention"


@VALUE.part
class Omitted(Value, frozen=True):
    """No W_V and no W_O: every head returns convex combinations of its columns of x."""

    kind: Literal["omitted"] = "omitted"
    meaning = "no W_V, no W_O: convex combinations of the tokens themselves"
    source = f"{MINIMUM}, omitting W_V and W_O"
    no_value_bias = "there are none"
    no_gauge = "there is no W_V"
    writes = False
    absorbs = False

    def form(self, model: ModelConfig) -> ValueForm:  # noqa: D102
        return ValueForm(module="Omitted", mixed=model.head_dim, keeps={"tokens": model.dim})


@VALUE.part
class KeyGatedValue(Value, frozen=True):
    """V' = C (v * sigmoid(A k)): the tokens gate themselves before they are projected; W_O is kept."""

    kind: Literal["kgv"] = "kgv"
    meaning = "V = C (x * sigmoid(A x)): a gate before W_V; W_O kept"
    source = "Anthe, arXiv 2305.10991, KgV attention"
    no_value_bias = "no part of KgV does without c"
    no_gauge = "no part of KgV stores C with an identity in it"
    stands_in_for: ClassVar[Requires] = {"similarity": ("identity-key",)}
    absorbs = False

    def form(self, model: ModelConfig) -> ValueForm:  # noqa: D102
        holds = (_map(model, "gate", "qkv", "keys"), _map(model, "w_v", "qkv", "keys"), _output(model))
        return ValueForm(module="KeyGatedValue", holds=holds, mixed=model.head_dim, keeps={"values": model.dim})


@VALUE.part
class Key(Value, frozen=True):
    """V = K: the key projection is the value too; W_O is kept."""

    kind: Literal["key"] = "key"
    meaning = "V = K: no W_V, the keys are the values; W_O kept"
    source = "Do Transformers Need Three Projections? (ICML 2026), K = V"
    any_width = True
    no_value_bias = "keys are values (K = V), their bias too"
    no_gauge = "keys are values (K = V)"
    requires: ClassVar[Requires] = {"similarity": ("separate", "tied", "pairwise", "identity-query", "grouped")}
    why = "V = K needs a key projection"
    mixes_keys = True

    def form(self, model: ModelConfig) -> ValueForm:  # noqa: D102
        return ValueForm(module="Key", holds=(_output(model),), mixed=model.head_dim, keeps={})


@VALUE.part
class LowRank(Value, frozen=True):
    """Fewer columns of values: W_Vh is N x r_h and W_Oh r_h x N, r_h at most d; b_V has gone into b_O.

    Heads of fewer columns than others are filled up with zeros when mixed.

    Attributes:
        rank: r_h, one for all heads or one each; a head of rank 0 gives nothing, and its scores must have none either.
            Below 1: a share of d. None: d, which loses nothing.
        pivoted: whether r_h rows of every W_Vh are the identity, and not stored.
    """

    kind: Literal["low-rank"] = "low-rank"
    rank: Rank = None
    pivoted: bool = False
    meaning = "W_V and W_O of fewer columns a head; pivoted: an identity in W_V, not stored"
    source = "A3 (ICML 2026), output-value of low rank; OpenMachine transformer-tricks, MatShrink (2026), pivots"
    any_width = True

    no_value_bias = "b_V has gone into b_O already"

    def gauged(self, model: ModelConfig) -> Value | str:
        """The same, pivoted; the product where one head keeps all columns."""
        if self.ranks(model) == (model.dim,):
            return Collapsed()
        return "it is fixed already" if self.pivoted else self.model_copy(update={"pivoted": True})

    def ranks(self, model: ModelConfig) -> tuple[int, ...]:
        """r_h of every head."""
        return ranks_of(self.rank, model)

    def form(self, model: ModelConfig) -> ValueForm:  # noqa: D102
        n, ranks = model.dim, self.ranks(model)
        total, widest = sum(ranks), max(ranks)
        stored = Pivoted(n, ranks) if self.pivoted else None
        w_v = Map(name="w_v", dim_in=n, dim_out=total, over="keys", stored=stored)
        w_o = writer(model, "w_o", total, None, "queries")
        keeps = {"values": model.heads * widest}
        return ValueForm(module="LowRank", holds=(w_v, w_o), mixed=widest, keeps=keeps)

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        problem = illegal_rank("value", self.rank, model)
        ranks = self.ranks(model)
        if problem or min(ranks):
            return problem
        similarity = model.similarity
        compared = similarity.ranks(model) if isinstance(similarity, LowRankSimilarity) else (1,) * model.heads
        for head, (rank, theirs) in enumerate(zip(ranks, compared, strict=False)):
            if theirs and not rank:
                return (
                    f"model.value 'low-rank' has rank 0 in head {head}, so that no output depends on its scores; "
                    "accepted: 1 or more, or model.similarity 'low-rank' with rank 0 in that head too"
                )
        return None


@VALUE.part
class NoValue(Value, frozen=True):
    """No attention in the block: nothing is mixed."""

    kind: Literal["none"] = "none"
    meaning = "no attention in the block (with similarity none)"
    source = f"{MINIMUM}, the sublayers of a block"
    any_width = True
    requires: ClassVar[Requires] = {"similarity": ("none",)}
    why = "scores with nothing to mix have no use"

    def form(self, model: ModelConfig) -> ValueForm | None:  # noqa: ARG002, D102
        return None


@VALUE.part
class Grouped(Value, frozen=True):
    """Fewer values than heads: groups of heads mix the same values, which are kept once in generation; W_O is whole.

    Attributes:
        groups: g, heads of values; 1: all heads mix the same. Below 1: the share of the heads that they are at most.
    """

    kind: Literal["grouped"] = "grouped"
    groups: WholeOrShare = 1
    meaning = "one W_V for each group of heads; W_O kept"
    source = "GQA, arXiv 2305.13245, section 2.2; Fast Transformer Decoding, arXiv 1911.02150, section 3"
    any_width = True
    no_value_bias = "no part of grouped values does without b_V"
    no_gauge = "several heads mix the same values"

    def form(self, model: ModelConfig) -> ValueForm:
        """N g d for the values, H d N for W_O."""
        wide = groups_of(self.groups, model) * model.head_dim
        w_v = Map(name="w_v", dim_in=model.dim, dim_out=wide, bias=live_bias(model, wide), role="qkv", over="keys")
        return ValueForm(module="Grouped", holds=(w_v, _output(model)), mixed=model.head_dim, keeps={"values": wide})

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        return illegal_groups("value", self.kind, self.groups, model)


@VALUE.part
class Latent(Value, frozen=True):
    """Values out of the latent that the keys are made of, which generation keeps once for both."""

    kind: Literal["latent"] = "latent"
    meaning = "values out of the latent that keys are made of; W_O kept"
    source = "DeepSeek-V2, arXiv 2405.04434, section 2.1.2"
    requires: ClassVar[Requires] = {"similarity": ("latent",)}
    why = "the latent is that of the keys"
    no_value_bias = "there are none"
    no_gauge = "keys and values read one latent"

    def form(self, model: ModelConfig) -> ValueForm:
        """C N, and N^2 for W_O; the latents themselves are mixed."""
        wide = cast(LatentKeys, model.similarity).columns(model)
        w_uv = Weights(name="w_uv", numbers=wide * model.dim, macs=wide * model.dim, over="queries")
        return ValueForm(module="Latent", holds=(w_uv, _output(model)), mixed=wide, keeps={"latents": wide})
