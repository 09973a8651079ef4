"""Groups of heads with one key (or one value) each: how many there are. For parts of two axes.

Heads h m to (h + 1) m of H = g m are group h of g. A part says how many, or the share of the heads that they are at
most, so that all have as many heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


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
