"""Ranks of the heads of one attention: one for all of them, or one each. For the `low-rank` parts of two axes.

A part of rank r_h keeps, of the product of two maps of head h, r_h of at most d directions; R is the sum of all r_h.
Of W_K (of W_V) r_h rows may be made the identity by an exact change of basis: those rows, the pivots, are not stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from minform_cli.config.axes.base import WHOLE_OR_SHARE
from minform_cli.config.form import Weights
from minform_cli.errors import counted

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


AnyRank = int | float | tuple[int, ...] | None


def _read(value: object) -> AnyRank:
    """What a user wrote, once it is one whole number, some of them, a share, or nothing."""
    if type(value) is float and 0 < value < 1:
        return value
    listed = isinstance(value, (list, tuple))
    each = list(cast("list[object]", value)) if listed else [value]
    if value is not None and (not each or any(type(rank) is not int or rank < 0 for rank in each)):
        raise ValueError(
            f"rank {value!r}: expected a whole number from 1 on, a share below 1, or a list with one for each head"
        )
    if value is not None and not any(cast("list[int]", each)):
        raise ValueError("a rank of 0 in every head leaves nothing; accepted: 1 or more in one of them")
    return cast("AnyRank", tuple(each) if listed else value)


def _written(rank: object) -> Any:
    return list(cast("tuple[int, ...]", rank)) if isinstance(rank, tuple) else rank


_RANKS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "contains": {"minimum": 1}}
Rank = Annotated[
    AnyRank,
    PlainValidator(_read),
    PlainSerializer(_written),
    WithJsonSchema({"anyOf": [*WHOLE_OR_SHARE["anyOf"], _RANKS, {"type": "null"}]}),
]
"""One rank for all heads; one each, of which some may be 0; a share of d, rounded, one at least; or None for d, which
loses nothing."""


def ranks_of(rank: AnyRank, model: ModelConfig) -> tuple[int, ...]:
    """r_h of every head."""
    if isinstance(rank, tuple):
        return rank
    if isinstance(rank, float):
        rank = max(1, round(rank * model.head_dim))
    return (model.head_dim if rank is None else rank,) * model.heads


def illegal_rank(axis: str, rank: AnyRank, model: ModelConfig) -> str | None:
    """What is wrong with the ranks of the part `low-rank` of that axis, or None."""
    if isinstance(rank, tuple) and len(rank) != model.heads:
        return (
            f"model.{axis} 'low-rank' lists {counted(len(rank), 'rank')}, and model.heads is {model.heads}; "
            f"accepted: {model.heads}, or one for all"
        )
    most = max(ranks_of(rank, model))
    if most > model.head_dim:
        return (
            f"model.{axis} 'low-rank' has a rank of {most}, and a head has {counted(model.head_dim, 'column')} "
            f"({_said_width(model)}); accepted: 1 to {model.head_dim}"
        )
    return None


def _said_width(model: ModelConfig) -> str:
    """Where a head's width comes from."""
    if model.head_width is not None:
        return "model.head_width"
    return f"model.dim {model.dim} / model.heads {model.heads}"


@dataclass(frozen=True)
class Pivoted:
    """A map to the columns of all heads, N x r_h each, of which r_h rows are the identity and not stored.

    It is multiplied as a whole matrix, so it saves numbers and no time, but where the identity is all of it.
    """

    dim: int
    ranks: tuple[int, ...]

    @property
    def title(self) -> str:  # noqa: D102
        return "pivoted maps"

    @property
    def module(self) -> str:  # noqa: D102
        return "Pivoted"

    @property
    def planned(self) -> bool:  # noqa: D102
        return False

    @property
    def numbers(self) -> int:
        """Of all heads, r_h (N - r_h) each."""
        return sum(rank * (self.dim - rank) for rank in self.ranks)

    @property
    def holds(self) -> tuple[Weights, ...]:  # noqa: D102
        return (Weights(name="free", numbers=self.numbers),)

    def macs_for(self, tokens: int, planned_for: int) -> int:  # noqa: ARG002, D102
        return tokens * self.dim * sum(self.ranks) if self.numbers else 0

    def note(self, planned_for: int) -> str:  # noqa: ARG002
        """How many of its numbers are stored."""
        left_out = sum(rank**2 for rank in self.ranks)
        return f"with an identity in each head: {self.numbers:,} numbers, {left_out:,} less than the whole"
