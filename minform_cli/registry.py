"""Named things that can be looked up by the name a user types.

Two kinds: `Registry` holds objects that register themselves; `LazyRegistry` knows where a module lies and imports it
when it is asked for, so that listing names costs no import. And whether a package of an extra is there.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Generic, TypeVar

from minform_cli.errors import unknown_name

T = TypeVar("T")


def installed(package: str) -> bool:
    """Whether the package can be imported; a folder of that name in the working directory is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


class Registry(Generic[T]):
    """A table from a name to an object; an unknown name raises `InputError` with the nearest known one."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files an object under `name`; a second object under one name is our bug."""

        def add(entry: T) -> T:
            assert name not in self._entries, f"{self.what} {name!r} registered twice"
            self._entries[name] = entry
            return entry

        return add

    def get(self, name: str, where: str = "") -> T:
        """The object registered as `name`.

        Raises:
            InputError: the name is unknown; `where` (a file, key or option) opens the message.
        """
        if name not in self._entries:
            raise unknown_name(self.what, name, self._entries, where)
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        return tuple(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries


class LazyRegistry:
    """A table from a name to a module of ours, imported on first use."""

    def __init__(self, what: str, modules: dict[str, str]) -> None:
        self.what = what
        self._modules = modules

    def get(self, name: str, where: str = "") -> ModuleType:
        """The module registered as `name`, imported now if it was not yet; `InputError` if the name is unknown."""
        if name not in self._modules:
            raise unknown_name(self.what, name, self._modules, where)
        return importlib.import_module(self._modules[name])

    def names(self) -> tuple[str, ...]:
        """All names, in the order they were given."""
        return tuple(self._modules)
