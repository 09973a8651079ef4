"""Attention: mixed_h = softmax(q_h k_h^T / sqrt(d)) v_h, from a similarity and a value path.

The scale is 1 / sqrt(d), d the width of a head, for every part, also where the compared vectors are wider.
Source: Attention Is All You Need, arXiv 1706.03762, equation 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts import products
from minform_cli.models.parts.base import Absent, for_heads
from minform_cli.models.parts.plain import plain
from minform_cli.models.parts.similarity import SIMILARITIES
from minform_cli.models.parts.value import VALUES

Seen = Bool[Tensor, "b one s"]
"""Which of S tokens those of an example may attend to, one at least."""
Wanted = int | Int[Tensor, " p"]
"""Which tokens are read: so many first ones of each example, or places in the flattened batch."""


def rows_of(x: Float[Tensor, "b t n"], wanted: Wanted) -> Float[Tensor, ...]:
    """Those tokens: (B, r, N) of the first r of each example, (1, P, N) of P places."""
    return x[:, :wanted] if isinstance(wanted, int) else x.flatten(0, 1).index_select(0, wanted).unsqueeze(0)


class Kept(NamedTuple):
    """Keys and values of the tokens that are attended to, each (B, g, S, E): by head, or by group of heads."""

    keys: Float[Tensor, "b g s e"]
    values: Float[Tensor, "b k s f"]

    def for_heads(self, heads: int) -> Kept:
        """Those of every head."""
        keys = for_heads(self.keys, heads)
        return Kept(keys, keys if self.values is self.keys else for_heads(self.values, heads))


@dataclass
class Loan:
    """Keys and values that a block lends to those after it, as of `Kept`; None where none has yet."""

    keys: Tensor | None = None
    values: Tensor | None = None


class Attention(nn.Module):
    """One attention of a block. The similarity -> `similarity`, the value path -> `value`.

    Args:
        model: sizes and parts.
        causal: whether a token may attend to itself and those before it alone.
    """

    def __init__(self, model: ModelConfig, *, causal: bool = False) -> None:
        super().__init__()
        similarity, value = SIMILARITIES.get(model.similarity.kind), VALUES.get(model.value.kind)
        assert not isinstance(similarity, Absent) and not isinstance(value, Absent), "there is no attention"
        self.similarity = similarity(model)
        self.value = value(model)
        self.scale = model.head_dim**-0.5
        self.dropout = model.dropout
        self.causal = causal

    def forward(
        self,
        x: Float[Tensor, "b t n"],
        y: Float[Tensor, "b s n"] | None = None,
        seen: Seen | None = None,
        wanted: Wanted | None = None,
        loan: Loan | None = None,
    ) -> Float[Tensor, ...]:
        """Every token of `x` as a mixture of the tokens of `y`.

        Args:
            x: the tokens that ask.
            y: the tokens that are asked; None: those of `x`.
            seen: which of them each may attend to, one at least; None: all. Not with `causal`.
            wanted: which tokens of `x` are to be given, as `rows_of` does; None: all.
            loan: keys and values of other blocks, for parts that borrow or lend them.
        """
        y = x if y is None else y
        first = wanted if isinstance(wanted, int) else None
        asked = _lent(loan, "keys") if self.similarity.borrows else y
        queries, keys = self.similarity(x, asked) if first is None else self.similarity.first(x, asked, first)
        kept = Kept(keys, _lent(loan, "values") if self.value.borrows else self.value.values(y, keys))
        self._lend(kept, loan)
        mixed = self._mixed(queries, kept, seen, causal=self.causal)
        if isinstance(wanted, Tensor):
            mixed = mixed.transpose(1, 2).flatten(0, 1).index_select(0, wanted).transpose(0, 1).unsqueeze(0)
        return self.value.merge(mixed)

    def keep(self, y: Float[Tensor, "b s n"]) -> Kept | None:
        """What is to be known of the tokens `y` to attend to them again and again, without what others lend.

        Where that is keys or values alone, they stand in both places; None: it is nothing.
        """
        if self.similarity.borrows:
            if self.value.borrows:
                return None
            values = self.value.values(y, y.unsqueeze(1))  # no value path beside borrowed keys reads keys
            return Kept(values, values)
        keys = self.similarity.keys(y)
        return Kept(keys, keys if self.value.borrows else self.value.values(y, keys))

    def with_loan(self, kept: Kept | None, loan: Loan) -> Kept:
        """What it attends to: what was kept of them, and what others have lent; and lends its own."""
        keys = _lent(loan, "keys") if kept is None or self.similarity.borrows else kept.keys
        whole = Kept(keys, _lent(loan, "values") if kept is None or self.value.borrows else kept.values)
        self._lend(whole, loan)
        return whole

    def over(self, x: Float[Tensor, "b t n"], kept: Kept, seen: Seen | None = None) -> Float[Tensor, "b t n"]:
        """Every token of `x` as a mixture of all tokens that `kept` is of, or of those that are `seen`."""
        return self.value.merge(self._mixed(self.similarity.queries(x), kept, seen, causal=False))

    def from_separate(self, source: Attention) -> None:
        """Takes its weights out of those of `source`, each part as its file says."""
        self.similarity.from_separate(source.similarity, source.value)
        self.value.from_separate(source.value, self.similarity)

    def _lend(self, kept: Kept, loan: Loan | None) -> None:
        if loan is not None and self.similarity.lends:
            loan.keys = kept.keys
        if loan is not None and self.value.lends:
            loan.values = kept.values

    def _mixed(self, queries: Tensor, kept: Kept, seen: Seen | None, *, causal: bool) -> Tensor:
        kept = kept.for_heads(queries.shape[1])
        if plain():
            return self._by_products(queries, kept, seen, causal=causal)
        drops = self.training and self.dropout > 0
        if seen is None and not causal and not drops and products.suits(queries, kept.keys):
            return products.attend(queries, kept.keys, kept.values, self.scale)
        if queries.device.type == "cpu" and queries.shape[-1] != kept.values.shape[-1]:
            return self._by_products(queries, kept, seen, causal=causal)
        return F.scaled_dot_product_attention(
            queries,
            kept.keys,
            kept.values,
            attn_mask=None if seen is None else seen.unsqueeze(1),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
            scale=self.scale,
        )

    def _by_products(self, queries: Tensor, kept: Kept, seen: Seen | None, *, causal: bool) -> Tensor:
        """The mixture where values are wider or narrower than keys, or where operations are to be plain.

        torch's kernel for CPUs takes equal widths; what it falls back to looks for rows that see nothing, of which
        there are none here.
        """
        scores = (queries * self.scale) @ kept.keys.mT
        if causal:
            hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(hidden, -math.inf)
        elif seen is not None:
            scores = scores.masked_fill(~seen.unsqueeze(1), -math.inf)
        weights = scores.softmax(-1)
        if self.training and self.dropout:
            weights = F.dropout(weights, self.dropout)
        return weights @ kept.values


def _lent(loan: Loan | None, what: Literal["keys", "values"]) -> Tensor:
    lent = None if loan is None else getattr(loan, what)
    assert lent is not None, f"no block has lent {what}"
    return lent


def new_attention(model: ModelConfig, *, causal: bool = False) -> Attention | None:
    """An attention of a block that has one; arguments as of `Attention`."""
    absent = isinstance(SIMILARITIES.get(model.similarity.kind), Absent)
    return None if absent else Attention(model, causal=causal)
