"""What every axis and every part's options share: lookup by name, validation, what a part demands of the others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel, model_serializer

from minform_cli.errors import did_you_mean
from minform_cli.registry import Registry

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


Requires = Mapping[str, tuple[str, ...]]
"""Axis -> the kinds a part can live with there."""


class PartOptions(BaseModel, frozen=True, extra="forbid", strict=True, allow_inf_nan=False):
    """Options of one part. A subclass is the single place that says what the part is and what it asks for.

    Each axis has a base class of its own, whose `form` every part of it writes: what it is made of.

    Class attributes:
        meaning: one line, shown by ``minform variants`` and in errors.
        source: paper and section.
        requires: axis -> the kinds this part can live with; checked by `legality`.
        why: reason for `requires`, in the words of an error message.
    """

    kind: str
    meaning: ClassVar[str]
    source: ClassVar[str]
    requires: ClassVar[Requires] = {}
    why: ClassVar[str] = ""

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: ARG002
        """What is wrong with this part in `model` beyond `requires` (a sentence), or None."""
        return None

    @model_serializer(mode="wrap")
    def _serialize(self, default: Callable[[Any], dict[str, Any]]) -> Any:
        """A part without options is written as its bare name, so that a dumped config reads like a written one."""
        fields = default(self)
        return fields["kind"] if len(fields) == 1 else fields


B = TypeVar("B", bound=PartOptions)
P = TypeVar("P", bound=PartOptions)


class Axis(Registry[type[B]], Generic[B]):
    """One axis: its parts by name, and the parser from what a user writes to a part's options."""

    def __init__(self, name: str, meaning: str, base: type[B]) -> None:
        super().__init__(name)
        self.name = name
        self.meaning = meaning
        self.base = base

    def part(self, cls: type[P]) -> type[P]:
        """Class decorator: registers an options class under the default of its `kind` field.

        A part that does not say what it is made of is our bug.
        """
        assert issubclass(cls, cast("type", self.base)), f"{self.name}: {cls.__name__} is no {self.base.__name__}"
        lacks = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        assert not inspect.isabstract(cls), f"{self.name}: {cls.__name__} lacks {lacks}"
        self.register(cls.model_fields["kind"].default)(cast("type[B]", cls))
        return cls

    def parse(self, value: object) -> PartOptions:
        """Options from a name, from a mapping ``{kind: name, ...}``, or from options themselves.

        Raises:
            ValueError: a name is unknown or the value has another form (pydantic adds the place).
            pydantic.ValidationError: an option of the part has a wrong value.
        """
        if isinstance(value, PartOptions):
            return value
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


AXES: dict[str, Axis[Any]] = {}


def new_axis(name: str, meaning: str, base: type[B]) -> Axis[B]:
    """Creates an axis whose parts derive from `base`, and files it in `AXES`."""
    AXES[name] = axis = Axis(name, meaning, base)
    return axis
