"""What every axis and every part's options share: lookup by name, validation, what a part demands of the others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import BaseModel, PlainValidator, SerializeAsAny, ValidationError, WithJsonSchema, model_serializer
from pydantic_core import InitErrorDetails

from minform_cli.config.described import Schema, described
from minform_cli.errors import did_you_mean
from minform_cli.registry import Registry

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


WHOLE_OR_SHARE: Schema = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}]
}
"""What `is_number_or_share` takes, as JSON Schema."""

Requires = Mapping[str, tuple[str, ...]]
"""Axis -> the kinds a part can live with there."""


class PartOptions(BaseModel, frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True):
    """Options of one part. A subclass is the single place that says what the part is and what it asks for.

    Each axis has a base class of its own, whose `form` every part of it writes: what it is made of.

    Class attributes:
        meaning: one line, shown by ``minform variants`` and in errors.
        source: paper and section.
        requires: axis -> the kinds this part can live with; checked by `legality`.
        why: reason for `requires`, in the words of an error message.
        by_block: whether blocks make different things of it, as `of_block` says.
    """

    kind: str
    meaning: ClassVar[str]
    source: ClassVar[str]
    requires: ClassVar[Requires] = {}
    why: ClassVar[str] = ""
    by_block: ClassVar[bool] = False

    def of_block(self, block: int) -> PartOptions:  # noqa: ARG002
        """What block number `block` makes of it."""
        return self

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: ARG002
        """What is wrong with this part in `model` beyond `requires` (a sentence), or None."""
        return None

    @model_serializer(mode="wrap")
    def _serialize(self, default: Callable[[Any], dict[str, Any]]) -> Any:
        """A part without options is written as its bare name, so that a dumped config reads like a written one."""
        fields = default(self)
        return fields["kind"] if len(fields) == 1 else fields


def of_every_run(part: str, model: ModelConfig, elsewhere: str, otherwise: str, *, several: bool = False) -> str | None:
    """Why a part with weights of its own in every run of a block is not for `model`, or None if it is.

    Args:
        part: as a user writes it: ``model.residual 'scaled'``.
        model: whose blocks are to run all as often, and which is to have no decoder.
        elsewhere: parts that a model with a decoder can have instead.
        otherwise: the part that any order can have.
        several: whether blocks are to run more than once.
    """
    if model.decoder_depth:
        return f"{part} is not for encoder-decoders; accepted: {elsewhere}"
    often = {model.block_order.count(block) for block in model.block_order}
    if len(often) > 1 or (several and often == {1}):
        listed = ", ".join(map(str, model.block_order))
        return (
            f"{part} is for blocks that run {'several times, ' if several else ''}all as often, and the order is "
            f"{listed}; accepted: an order such as [0, 0, 1, 1], or {otherwise}"
        )
    return None


def even_kernel(part: str, kernel: int) -> str | None:
    """What is wrong with the side of a convolution's kernel, which is to have a middle; or None."""
    return None if kernel % 2 else f"{part} has kernel {kernel}; accepted: an odd number"


def _read_whole_or_share(value: object) -> int | float:
    """What a user wrote, once it is a whole number or a share."""
    if is_number_or_share(value):
        return cast("int | float", value)
    raise ValueError(f"{value!r}: expected a whole number from 1 on, or a share below 1")


def _read_number_or_share(value: object) -> int | float | None:
    """Likewise, or nothing."""
    return None if value is None else _read_whole_or_share(value)


NumberOrShare = Annotated[
    int | float | None,
    PlainValidator(_read_number_or_share),
    WithJsonSchema({"anyOf": [*WHOLE_OR_SHARE["anyOf"], {"type": "null"}]}),
]
"""A size: itself, a share of another, or None for that other."""


WholeOrShare = Annotated[int | float, PlainValidator(_read_whole_or_share), WithJsonSchema(WHOLE_OR_SHARE)]
"""A size: itself, or a share of another."""


def columns_of(width: float, dim: int) -> int:
    """A width, or the share of `dim` that it is, at least 1."""
    return width if isinstance(width, int) else max(1, round(width * dim))


def is_number_or_share(value: object) -> bool:
    """Whether a user wrote a whole number from 1 on, or a share below 1."""
    return (type(value) is int and value >= 1) or (type(value) is float and 0 < value < 1)


class PerBlock(PartOptions, frozen=True):
    """A list on an axis: a part for each block with weights of its own. `blocks.at` says which is whose.

    Attributes:
        parts: of block 0, 1, ...
    """

    kind: Literal["per-block"] = "per-block"
    parts: tuple[SerializeAsAny[PartOptions], ...]

    @model_serializer(mode="plain")
    def _serialize_list(self) -> list[Any]:
        return [part.model_dump(mode="json") for part in self.parts]


B = TypeVar("B", bound=PartOptions)
P = TypeVar("P", bound=PartOptions)


class Axis(Registry[type[B]], Generic[B]):
    """One axis: its parts by name, and the parser from what a user writes to a part's options.

    Attributes:
        base: class of its parts.
        per_block: whether blocks may have different parts.
    """

    def __init__(self, name: str, meaning: str, base: type[B], *, per_block: bool) -> None:
        super().__init__(name)
        self.name = name
        self.meaning = meaning
        self.base = base
        self.per_block = per_block

    def part(self, cls: type[P]) -> type[P]:
        """Class decorator: registers an options class under the default of its `kind` field.

        A part that does not say what it is made of is our bug.
        """
        assert issubclass(cls, cast("type", self.base)), f"{self.name}: {cls.__name__} is no {self.base.__name__}"
        lacks = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        assert not inspect.isabstract(cls), f"{self.name}: {cls.__name__} lacks {lacks}"
        self.register(cls.model_fields["kind"].default)(cast("type[B]", cls))
        return cls

    def json_schema(self, one: Schema | None = None) -> Schema:
        """What `parse` takes, as JSON Schema; `one` stands for `part_schema` where that is said elsewhere."""
        one = self.part_schema() if one is None else one
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]} if self.per_block else one

    def part_schema(self) -> Schema:
        """One part, as JSON Schema: its name if it needs no more, or a mapping with its options."""
        plain: list[Schema] = []
        mappings: list[Schema] = []
        for kind in self.names():
            part = self.get(kind)
            options = described(part)
            options["properties"]["kind"] = {"const": kind}
            options["required"] = ["kind", *options.get("required", ())]
            mappings.append({**options, "description": part.meaning})
            if options["required"] == ["kind"]:
                plain.append({"const": kind, "description": part.meaning})
        return {"anyOf": [{"oneOf": plain}, *mappings]}

    def parse(self, value: object) -> PartOptions:
        """Options from a name, from a mapping ``{kind: name, ...}``, from options themselves, or from a list of these.

        Raises:
            ValueError: a name is unknown or the value has another form (pydantic adds the place).
            pydantic.ValidationError: an option of the part has a wrong value.
        """
        if isinstance(value, PartOptions):
            return value
        if isinstance(value, (list, tuple)):
            return self._listed(cast("list[object]", value))
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise ValueError(f"expected a name or a mapping with 'kind'; accepted: {', '.join(self.names())}")
        kind = value["kind"]
        if kind not in self:
            raise ValueError(
                f"unknown {self.name} {kind!r}{did_you_mean(kind, self.names())}; accepted: {', '.join(self.names())}"
            )
        part = self.get(kind)
        for option in value:
            if option not in part.model_fields:
                accepted = [name for name in part.model_fields if name != "kind"]
                raise ValueError(
                    f"unknown option {option!r} of {self.name} {kind!r}{did_you_mean(option, accepted)}; "
                    f"accepted: {', '.join(accepted) or 'none'}"
                )
        return part.model_validate(value)

    def _listed(self, values: Sequence[object]) -> PerBlock:
        """One part for each block; an error tells the number of the block, as pydantic tells places."""
        if not self.per_block:
            raise ValueError(
                f"there is one {self.name} for all blocks, not a list; accepted: {', '.join(self.names())}"
            )
        if not values:
            raise ValueError("expected one part for each block, not an empty list")
        parts: list[PartOptions] = []
        for block, value in enumerate(values):
            try:
                if isinstance(value, (list, tuple)):
                    raise ValueError("expected a part, not a list in a list")
                parts.append(self.parse(value))
            except ValidationError as error:
                found = [
                    InitErrorDetails(
                        type=each["type"], loc=(block, *each["loc"]), input=each["input"], ctx=each.get("ctx", {})
                    )
                    for each in error.errors()
                ]
                raise ValidationError.from_exception_data(self.name, found) from None
            except ValueError as error:
                place = InitErrorDetails(type="value_error", loc=(block,), input=value, ctx={"error": error})
                raise ValidationError.from_exception_data(self.name, [place]) from None
        return PerBlock(parts=tuple(parts))


AXES: dict[str, Axis[Any]] = {}


def new_axis(name: str, meaning: str, base: type[B], *, per_block: bool = False) -> Axis[B]:
    """Creates an axis whose parts derive from `base`, and files it in `AXES`."""
    AXES[name] = axis = Axis(name, meaning, base, per_block=per_block)
    return axis
