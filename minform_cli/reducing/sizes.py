"""How large every part of every block is for all of them to meet a budget. Imports no torch.

What a part loses at each size is known (`Losses`); the knapsack of `reducing.knapsack` chooses the sizes, and hidden
units take what is left, to one unit. Ranks are equal in all heads of a block and stored with pivots
(`config.axes.ranks`), so that a whole rank saves numbers too, and loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minform_cli.config.axes.bias import has_bias
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.reducing.asked import PARTS, Budget, Part
from minform_cli.reducing.knapsack import Item, fitting

Losses = Mapping[tuple[int, Part], tuple[tuple[int, ...], tuple[float, ...]]]
"""Of a block's part: sizes, ascending, and what is lost at each."""


@dataclass(frozen=True)
class Sizes:
    """Of every block: rank of queries and keys, rank of values and outputs, hidden units; None: as it is, or away.

    `loss` is the sum of what is lost by each.
    """

    query_key: tuple[int | None, ...]
    value_output: tuple[int | None, ...]
    hidden: tuple[int | None, ...]
    loss: float


@dataclass
class _Room:
    """Sizes on their way to a budget.

    Attributes:
        places: of each item's size among its sizes.
        units: hidden units of each block beside those of the item's size.
        left: numbers that are still allowed.
    """

    items: dict[tuple[int, Part], Item]
    places: dict[tuple[int, Part], int]
    units: dict[int, int]
    left: int


def sizes_for(
    model: ModelConfig, numbers: tuple[int, int], losses: Losses, budget: Budget, away: int = 0
) -> Sizes | None:
    """What meets the budget; None where nothing that would be lost need go for it, and hidden units could.

    Args:
        model: its blocks are of standard parts.
        numbers: of all blocks as they are, and of the whole model.
        losses: of the parts that may be made smaller.
        budget: what is asked for.
        away: numbers of the blocks that have gone already, with sublayers that `losses` do not name.

    Raises:
        InputError: what cannot go is more than the budget, or all that is there less.
    """
    now, whole = numbers
    allowed = budget.allowed(now, whole)
    if allowed >= now:
        raise InputError(f"--budget {budget.text}: the model has {whole:,} parameters already, {now:,} in its blocks")
    items = {key: _item(model, key[1], *curve) for key, curve in losses.items()}
    fixed = now - away - sum(_as_it_is(model, key[1], curve[0][-1]) for key, curve in losses.items())
    chosen = fitting(list(items.values()), allowed - fixed)
    if chosen is None:
        least = fixed + sum(item.numbers[0] for item in items.values())
        asked = f"{-(-1000 * least // now) / 10:.1f}%" if budget.share is not None else f"{whole - now + least:,}"
        raise InputError(f"--budget {budget.text}: less than what cannot go; the least is {asked}")
    places = dict(zip(items, chosen, strict=True))
    whole_parts = all(place == len(items[key].sizes) - 1 for key, place in places.items())
    if whole_parts and not away and any(part == "mlp" for _, part in items):
        return None
    used = sum(items[key].numbers[place] for key, place in places.items())
    room = _Room(items, places, {key[0]: 0 for key in items if key[1] == "mlp"}, allowed - fixed - used)
    _filled(room, _unit(model))
    loss = sum(items[key].losses[place] for key, place in room.places.items())
    query_key, value_output, hidden = (_of_blocks(room, model.num_blocks, part) for part in PARTS)
    return Sizes(query_key, value_output, hidden, loss)


def _of_blocks(room: _Room, num: int, part: Part) -> tuple[int | None, ...]:
    found: list[int | None] = []
    for block in range(num):
        key = (block, part)
        more = room.units.get(block, 0) if part == "mlp" else 0
        found.append(room.items[key].sizes[room.places[key]] + more if key in room.items else None)
    return tuple(found)


def _filled(room: _Room, unit: int) -> None:
    """Hidden units for what is left, each where it is worth most; where all are there, a rank more and units less."""
    while room.left >= unit:
        block = max(
            (block for block in room.units if _missing(room, block)), key=lambda b: _worth(room, b), default=None
        )
        if block is not None:
            room.units[block] += 1
            room.left -= unit
            continue
        ranks = [key for key, item in room.items.items() if key[1] != "mlp" and room.places[key] + 1 < len(item.sizes)]
        if not ranks or not room.units:
            return
        best = max(ranks, key=lambda key: _gain(room.items[key], room.places[key]))
        item, place = room.items[best], room.places[best]
        room.places[best] += 1
        room.left -= item.numbers[place + 1] - item.numbers[place]
        while room.left < 0:
            cheapest = min((b for b in room.units if _size(room, b) > 1), key=lambda b: _worth(room, b))
            room.units[cheapest] -= 1
            room.left += unit
        if room.left < unit:
            return


def _size(room: _Room, block: int) -> int:
    return room.items[block, "mlp"].sizes[room.places[block, "mlp"]] + room.units[block]


def _missing(room: _Room, block: int) -> int:
    return room.items[block, "mlp"].sizes[-1] - _size(room, block)


def _worth(room: _Room, block: int) -> float:
    """What one more unit of that block makes up for, by the slope of its losses there."""
    item, size = room.items[block, "mlp"], _size(room, block)
    place = max(at for at, each in enumerate(item.sizes) if each <= size)
    return _gain(item, min(place, len(item.sizes) - 2)) if len(item.sizes) > 1 else 0.0


def _gain(item: Item, place: int) -> float:
    """What the next size loses less, a number."""
    return (item.losses[place] - item.losses[place + 1]) / (item.numbers[place + 1] - item.numbers[place])


def _item(model: ModelConfig, part: Part, sizes: tuple[int, ...], losses: tuple[float, ...]) -> Item:
    count = {"query-key": _ranked, "value-output": _ranked, "mlp": _units}[part]
    biased = part == "query-key" and has_bias(model.at(0))
    return Item(sizes, tuple(count(model, size) + biased * model.heads * size for size in sizes), losses)


def _ranked(model: ModelConfig, rank: int) -> int:
    return model.heads * (2 * model.dim * rank - rank**2)


def _units(model: ModelConfig, units: int) -> int:
    return units * _unit(model)


def _unit(model: ModelConfig) -> int:
    return 2 * model.dim + int(has_bias(model.at(0)))


def _as_it_is(model: ModelConfig, part: Part, most: int) -> int:
    """Numbers of a part that is whole, biases that go with it included."""
    if part == "mlp":
        return _units(model, most)
    kind = model.at(0).bias.kind
    inner = model.inner_dim
    live = 2 * model.dim * inner + ((inner if part == "query-key" else model.dim) if kind != "none" else 0)
    return live + (inner if kind == "all" and part == "query-key" else 0)
