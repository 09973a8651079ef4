"""Axis `order`: which block runs when. Sharing depth is an execution order over a shorter list of blocks."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from minform_cli.config.axes.base import AXES, PartOptions, PerBlock, new_axis
from minform_cli.config.axes.mlp import WithHidden
from minform_cli.config.described import Schema
from minform_cli.config.form import OrderForm
from minform_cli.errors import counted

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class Order(PartOptions, frozen=True):
    """Base of the orders: turns a depth into the list of block numbers that run, first to last."""

    @abstractmethod
    def form(self, depth: int) -> OrderForm:
        """Which blocks run; as many as `depth` unless several make up one."""

    def blocks(self, depth: int) -> tuple[int, ...]:
        """Block numbers in the order they run."""
        return self.form(depth).runs

    def depths(self, depth: int) -> tuple[int, ...]:
        """The depth that each of them runs at."""
        return self.form(depth).depths or tuple(range(depth))

    @property
    def splits(self) -> bool:
        """Whether a depth is several blocks, each of which has some of the sublayers."""
        return False

    def own_parts(self, model: ModelConfig, block: int) -> dict[str, PartOptions]:  # noqa: ARG002
        """Axis -> what block number `block` has in the place of the part of `model`, as some sublayers lack."""
        return {}

    def illegal_of_all(self, model: ModelConfig) -> str | None:  # noqa: ARG002
        """What is wrong with it in `model` as a whole, lists of parts included (a sentence), or None."""
        return None


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


class Split(Order, frozen=True):
    """Base of the orders with two blocks at every depth, one after another, not both with all sublayers."""

    @property
    def splits(self) -> bool:  # noqa: D102
        return True

    @abstractmethod
    def runs(self, at: int, depth: int) -> tuple[int, int]:
        """The two blocks that run at depth `at`, from 0, of `depth` depths."""

    def form(self, depth: int) -> OrderForm:  # noqa: D102
        both = [self.runs(at, depth) for at in range(depth)]
        return OrderForm(
            tuple(block for pair in both for block in pair), tuple(at for at in range(depth) for _ in "12")
        )

    def illegal_of_all(self, model: ModelConfig) -> str | None:  # noqa: D102
        for axis, what in (("similarity", "attention"), ("mlp", "an MLP")):
            if model.parts()[axis].kind == "none":
                accepted = ", ".join(kind for kind in AXES[axis].names() if kind != "none")
                return f"model.order {self.kind!r} needs {what}, and model.{axis} is 'none'; accepted: {accepted}"
        if model.decoder_depth not in (0, model.depth):
            return (
                f"model.order is for the decoder too: model.decoder_depth {model.decoder_depth} must be {model.depth}"
            )
        return None


def _without(sublayer: Literal["attention", "mlp"]) -> dict[str, PartOptions]:
    axes = ("mlp",) if sublayer == "mlp" else ("similarity", "value")
    return {axis: AXES[axis].parse("none") for axis in axes}


@ORDER.part
class SharedMlp(Split, frozen=True):
    """At every depth an attention of its own, blocks 0 to L - 1, then one MLP, block L."""

    kind: Literal["shared-mlp"] = "shared-mlp"
    meaning = "at every depth an attention of its own, and one MLP for all"
    source = "One Wide Feedforward is All You Need, arXiv 2309.01826"

    def runs(self, at: int, depth: int) -> tuple[int, int]:  # noqa: D102
        return at, depth

    def own_parts(self, model: ModelConfig, block: int) -> dict[str, PartOptions]:  # noqa: D102
        return _without("attention" if block == model.depth else "mlp")


@ORDER.part
class SharedAttention(Split, frozen=True):
    """At every depth one attention, block 0, then an MLP of its own: blocks 1 to L."""

    kind: Literal["shared-attention"] = "shared-attention"
    meaning = "at every depth an MLP of its own, and one attention for all"
    source = "MLPs of each depth beside recursion: Relaxed Recursive Transformers, arXiv 2410.20672"

    def runs(self, at: int, depth: int) -> tuple[int, int]:  # noqa: ARG002, D102
        return 0, at + 1

    def own_parts(self, model: ModelConfig, block: int) -> dict[str, PartOptions]:  # noqa: ARG002, D102
        return _without("attention" if block else "mlp")


@ORDER.part
class Macaron(Split, frozen=True):
    """At every depth half an MLP, attention, half an MLP: blocks 2 l, which are without attention, and 2 l + 1.

    The MLPs have half of the hidden width, unless a list says the width of each. The factor 1/2 that the source gives
    to what they add is part of W_2.
    """

    kind: Literal["macaron"] = "macaron"
    meaning = "at every depth an MLP of half the width, attention, and another such MLP"
    source = (
        "Understanding and Improving Transformer From a Multi-Particle Dynamic System Point of View, arXiv 1906.02762"
    )

    def runs(self, at: int, depth: int) -> tuple[int, int]:  # noqa: ARG002, D102
        return 2 * at, 2 * at + 1

    def own_parts(self, model: ModelConfig, block: int) -> dict[str, PartOptions]:  # noqa: D102
        own = {} if block % 2 else _without("attention")
        if isinstance(model.mlp, WithHidden):
            own["mlp"] = model.mlp.model_copy(update={"width": max(1, model.mlp.hidden(model) // 2)})
        return own

    def illegal_of_all(self, model: ModelConfig) -> str | None:  # noqa: D102
        wrong = super().illegal_of_all(model)
        if wrong or isinstance(model.mlp, (WithHidden, PerBlock)):
            return wrong
        accepted = ", ".join(kind for kind in AXES["mlp"].names() if issubclass(AXES["mlp"].get(kind), WithHidden))
        return f"model.order 'macaron' halves a hidden layer, and mlp {model.mlp.kind!r} has none; accepted: {accepted}"


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
