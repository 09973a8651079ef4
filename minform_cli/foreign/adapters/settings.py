"""A ``config.json``, read key by key: whatever is not as our parts have it is refused by its name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

from minform_cli.errors import InputError

T = TypeVar("T")


class TheirSettings:
    """What describes another library's model.

    Args:
        where: the file, for messages.
        values: its content.
    """

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self._values = values

    def number(self, key: str, default: int | None = None, least: int = 1) -> int:
        """A whole number.

        Raises:
            InputError: it is missing and has no default, no whole number, or less than `least`.
        """
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(key, value, f"a whole number from {least} on")
        return value

    def real(self, key: str, default: float | None = None, *, zero: bool = False) -> float:
        """A positive number; 0 only if `zero`. Raises as `number` does."""
        value = self._values.get(key, default)
        sound = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not sound or not (0 < value < float("inf") or (zero and value == 0)):
            raise self.wrong(key, value, "a number from 0 on" if zero else "a number above 0")
        return float(value)

    def choice(self, key: str, accepted: Mapping[str, T], default: str) -> T:
        """What `accepted` has for the value of `key`; any other value is refused."""
        value = self._values.get(key, default)
        if not isinstance(value, str) or value not in accepted:
            raise self.wrong(key, value, ", ".join(accepted))
        return accepted[value]

    def only(self, key: str, *accepted: object) -> None:
        """Refuses every value of `key` but the `accepted`; a missing key is the first of them."""
        value = self._values.get(key, accepted[0])
        if value not in accepted or isinstance(value, bool) != isinstance(accepted[0], bool):
            raise self.wrong(key, value, " or ".join(map(_shown, accepted)))

    def get(self, key: str, default: Any = None) -> Any:
        """Whatever stands there."""
        return self._values.get(key, default)

    def labels(self, *, numbered: bool = False) -> tuple[str, ...]:
        """Class names in their order, from `id2label`; without it ``LABEL_0``, ..., `num_labels` (2) of them.

        Args:
            numbered: whether classes of one name (ImageNet has two cranes) are told apart by their numbers.

        Raises:
            InputError: they are not numbered 0, 1, ..., or two have one name.
        """
        given: Any = self._values.get("id2label")
        if given is None:
            return tuple(f"LABEL_{number}" for number in range(self.number("num_labels", 2)))
        by_number = {str(key): str(name) for key, name in given.items()} if isinstance(given, Mapping) else {}
        names = [by_number.get(str(number)) for number in range(len(by_number))]
        if not names or None in names:
            raise self.wrong("id2label", given, "a name for each number from 0 on")
        if numbered:
            often = Counter(names)
            names = [f"{name} ({i})" if often[name] > 1 else name for i, name in enumerate(names)]
        if len(set(names)) < len(names):
            raise self.wrong("id2label", given, "a name of its own for each class")
        return tuple(map(str, names))

    def classes(self) -> tuple[str, ...]:
        """Names of the classes that a head tells apart; none where it gives a score.

        Raises:
            InputError: it gives several scores, or says of each class whether it is there.
        """
        names, kind = self.labels(), self.get("problem_type")
        if kind == "multi_label_classification" or (kind == "regression" and len(names) > 1):
            raise self.wrong("problem_type", kind, "single_label_classification, or regression with one label")
        return () if kind == "regression" or len(names) == 1 else names

    def check_heads(self, heads_key: str, dim_key: str) -> None:
        """Raises `InputError` unless the number of heads divides the width."""
        heads, dim = self.number(heads_key), self.number(dim_key)
        if dim % heads:
            divisors = [number for number in range(1, min(dim, 64) + 1) if dim % number == 0]
            raise InputError(
                f"{self.where}: {heads_key} {heads} does not divide {dim_key} {dim}; "
                f"accepted: {', '.join(map(str, divisors))}"
            )

    def wrong(self, key: str, value: object, accepted: str) -> InputError:
        """The error for a value that is not accepted."""
        found = "is missing" if value is None else f"is {_shown(value)}"
        return InputError(f"{self.where}: {key} {found}; accepted: {accepted}")


def _shown(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."
