"""Axis `order`: which block runs when. Sharing depth is an execution order over a shorter list of blocks."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis
from minform_cli.config.described import Schema
from minform_cli.config.form import OrderForm
from minform_cli.errors import counted

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class Order(PartOptions, frozen=True):
    """Base of the orders: turns a depth into the list of block numbers that run, first to last."""

    @abstractmethod
    def form(self, depth: int) -> OrderForm:
        """Which blocks run, as many as `depth`."""

    def blocks(self, depth: int) -> tuple[int, ...]:
        """Block numbers in the order they run; its length is the depth."""
        return self.form(depth).runs


ORDER = new_axis("order", "which block runs when", Order)


@ORDER.part
class Sequential(Order, frozen=True):
    """Every block once, each with its own weights."""

    kind: Literal["sequential"] = "sequential"
    meaning = "every block once, each with its own weights"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.1"

    def form(self, depth: int) -> OrderForm:  # noqa: D102
        return OrderForm(tuple(range(depth)))


@ORDER.part
class Shared(Order, frozen=True):
    """One block applied `model.depth` times."""

    kind: Literal["shared"] = "shared"
    meaning = "one block applied model.depth times"
    source = "ALBERT, arXiv 1909.11942, section 3.1; SReT, arXiv 2111.05297 (without its residual scales)"

    def form(self, depth: int) -> OrderForm:  # noqa: D102
        return OrderForm((0,) * depth)


@ORDER.part
class Listed(Order, frozen=True):
    """Any order, written as a list: ``model.order=[0,0,1,1]``.

    Attributes:
        list: block numbers, as many as `model.depth`, every number from 0 to the largest used.
    """

    kind: Literal["listed"] = "listed"
    list: tuple[int, ...] = Field(min_length=1, strict=False)  # YAML knows no tuples; its numbers stay strict
    meaning = "any order of blocks, written as a list: [0,0,1,1]"
    source = "sharing depth as an execution order over a shorter list of blocks"

    def form(self, depth: int) -> OrderForm:  # noqa: ARG002, D102
        return OrderForm(self.list)

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        if len(self.list) != model.depth:
            listed = counted(len(self.list), "block")
            return f"model.order lists {listed}, but model.depth is {model.depth}; they must be equal"
        if model.decoder_depth not in (0, model.depth):
            return (
                f"model.order is for the decoder too: model.decoder_depth {model.decoder_depth} must be {model.depth}"
            )
        used = set(self.list)
        if used != set(range(len(used))):
            return f"model.order {list_text(self.list)} must use every block number from 0 to its largest"
        return None


def list_text(blocks: tuple[int, ...]) -> str:
    """``[0,0,1]``: an order as a user writes it."""
    return "[" + ",".join(map(str, blocks)) + "]"


def order_schema(one: Schema | None = None) -> Schema:
    """What `parse_order` takes, as JSON Schema; `one` as in `Axis.json_schema`."""
    listed = {"type": "array", "items": {"type": "integer"}, "minItems": 1, "description": Listed.meaning}
    return {"anyOf": [ORDER.part_schema() if one is None else one, listed]}


def parse_order(value: Any) -> PartOptions:
    """As `ORDER.parse`, and a bare list of block numbers too."""
    return ORDER.parse({"kind": "listed", "list": value} if isinstance(value, (list, tuple)) else value)
