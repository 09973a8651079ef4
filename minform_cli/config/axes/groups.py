"""Groups of heads with one key (or one value) each: how many there are. For parts of two axes.

Heads h m to (h + 1) m of H = g m are group h of g.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

from pydantic import PlainValidator, WithJsonSchema

from minform_cli.config.axes.base import WHOLE_OR_SHARE, is_number_or_share

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


def _read(value: object) -> int | float:
    """What a user wrote, once it is a whole number or a share."""
    if is_number_or_share(value):
        return cast("int | float", value)
    raise ValueError(f"groups {value!r}: expected a whole number from 1 on, or a share of the heads (below 1)")


Groups = Annotated[int | float, PlainValidator(_read), WithJsonSchema(WHOLE_OR_SHARE)]
"""How many; or the share of the heads that they are at most, one at least, so that all have as many heads."""


def groups_of(groups: float, model: ModelConfig) -> int:
    """g, which divides H where the model is legal."""
    if isinstance(groups, int):
        return groups
    most = max(1, int(groups * model.heads))
    return max(number for number in range(1, most + 1) if model.heads % number == 0)


def illegal_groups(axis: str, kind: str, groups: float, model: ModelConfig) -> str | None:
    """What is wrong with the groups of the part `kind` of that axis, or None."""
    number = groups_of(groups, model)
    if model.heads % number == 0:
        return None
    divisors = [g for g in range(1, model.heads + 1) if model.heads % g == 0]
    return (
        f"model.{axis} {kind!r} has {number} groups, which do not divide model.heads {model.heads}; "
        f"accepted: {', '.join(map(str, divisors))}"
    )
