"""How large every part of a block may be for all of them to meet a budget. Imports no torch.

All blocks lose alike. With s the share of the blocks' numbers that stays, each head keeps s of the d columns of queries
and keys, and (1 + s) / 2 of those of values and outputs, which bear less; hidden units of MLPs take what is left, to
one unit. Ranks are stored with pivots (`config.axes.ranks`).
"""

from __future__ import annotations

from dataclasses import dataclass

from minform_cli.config.axes.bias import has_bias
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.reducing.asked import Budget


@dataclass(frozen=True)
class Sizes:
    """Of every block: rank of queries and keys, rank of values and outputs, hidden units."""

    query_key: int
    value_output: int
    hidden: tuple[int, ...]


def sizes_for(model: ModelConfig, numbers: tuple[int, int], hidden: int, budget: Budget) -> Sizes | None:
    """What meets the budget; None where hidden units need not go for it.

    Args:
        model: its blocks are of standard parts.
        numbers: of all blocks as they are, and of the whole model.
        hidden: units of a block's MLP as they are.
        budget: what is asked for.

    Raises:
        InputError: what cannot go is more than the budget.
    """
    now, whole = numbers
    allowed = budget.allowed(now, whole)
    norms = now - model.num_blocks * _whole_block(model, hidden)
    share = max(allowed, 0) / now
    query_key, value_output = (max(1, round(each * model.head_dim)) for each in (share, (1 + share) / 2))

    def units_left(query_key: int, value_output: int) -> int:
        fixed = norms + model.num_blocks * (_attention(model, query_key, value_output) + _outer(model))
        return (allowed - fixed) // _unit(model)

    most = hidden * model.num_blocks
    while units_left(query_key, value_output) > most and min(query_key, value_output) < model.head_dim:
        query_key, value_output = (min(model.head_dim, rank + 1) for rank in (query_key, value_output))
    while (units := units_left(query_key, value_output)) < model.num_blocks:
        if query_key == value_output == 1:
            least = norms + model.num_blocks * (_attention(model, 1, 1) + _outer(model) + _unit(model))
            asked = f"{-(-1000 * least // now) / 10:.1f}%" if budget.share is not None else f"{whole - now + least:,}"
            raise InputError(f"--budget {budget.text}: less than what cannot go; the least is {asked}")
        query_key, value_output = max(1, query_key - 1), max(1, value_output - 1)
    if units >= most:
        return None
    each, more = divmod(units, model.num_blocks)
    return Sizes(query_key, value_output, tuple(each + (block < more) for block in range(model.num_blocks)))


def _attention(model: ModelConfig, query_key: int, value_output: int) -> int:
    biases = (model.heads * query_key + model.dim) if has_bias(model.at(0)) else 0
    pivoted = sum(2 * model.dim * rank - rank**2 for rank in (query_key, value_output))
    return model.heads * pivoted + biases


def _unit(model: ModelConfig) -> int:
    return 2 * model.dim + int(has_bias(model.at(0)))


def _outer(model: ModelConfig) -> int:
    return model.dim if has_bias(model.at(0)) else 0


def _whole_block(model: ModelConfig, hidden: int) -> int:
    """Numbers of a block's standard attention and MLP, without its norms."""
    one = model.at(0)
    biases = {"none": 0, "live": 3 * model.dim, "all": 4 * model.dim}[one.bias.kind]
    return 4 * model.dim**2 + biases + hidden * _unit(model) + _outer(model)
