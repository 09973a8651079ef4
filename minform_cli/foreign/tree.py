"""A foreign model as a tree of named modules, in the order they are registered, with its linear maps and norms.

A linear map is a `torch.nn.Linear` (or a subclass) whose weight is a parameter, or GPT-2's `Conv1D`, which stores the
transpose. Anything that wraps a map in more parameters (adapters, quantisation, weight norm) is no map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from torch import nn

ROOT = ""
_NORMS = (
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.modules.batchnorm._BatchNorm,  # pyright: ignore[reportPrivateUsage]
)


@dataclass(frozen=True, eq=False)
class FoundMap:
    """One linear map; `name` is its module's path."""

    name: str
    weight: nn.Parameter
    bias: nn.Parameter | None
    dim_in: int
    dim_out: int


class Tree:
    """The modules of a model by path; a module that stands in two places is seen where it stands first.

    Attributes:
        modules: path -> module, in the order of registration.
        order: path -> place in that order.
        maps: path -> linear map.
        norms: paths of the norms.
    """

    def __init__(self, model: nn.Module) -> None:
        self.modules: dict[str, nn.Module] = dict(model.named_modules())
        self.order: dict[str, int] = {name: place for place, name in enumerate(self.modules)}
        self._names = list(self.modules)
        self._ends = self._subtree_ends()
        self.maps: dict[str, FoundMap] = {}
        self.norms: set[str] = set()
        for name, module in self.modules.items():
            found = _as_map(name, module)
            if found is not None:
                self.maps[name] = found
            elif _is_norm(module):
                self.norms.add(name)

    def under(self, name: str) -> list[str]:
        """Paths of everything below `name`, without itself."""
        place = self.order[name]
        return self._names[place + 1 : self._ends[place]]

    def ancestors(self, name: str) -> Iterator[str]:
        """Paths of the modules around `name`, the nearest first, the root last."""
        while name != ROOT:
            name = name.rpartition(".")[0]
            yield name

    def children(self, name: str) -> list[str]:
        """Paths of the direct children."""
        return [path for key, _ in self.modules[name].named_children() if (path := below(name, key)) in self.modules]

    def own(self, name: str) -> dict[str, nn.Parameter]:
        """The parameters that the module itself registers."""
        return own_parameters(self.modules[name])

    def maps_under(self, name: str) -> list[FoundMap]:
        """The linear maps at and below `name`."""
        return [self.maps[path] for path in (name, *self.under(name)) if path in self.maps]

    def sole_map(self, name: str) -> FoundMap | None:
        """The map that `name` is, or that it holds with nothing else but norms; None if there is no such map."""
        maps = self.maps_under(name)
        return maps[0] if len(maps) == 1 and self.only_maps_and_norms(name) else None

    def only_maps_and_norms(self, name: str) -> bool:
        """Whether every parameter at and below `name` belongs to a linear map or a norm."""
        return all(path in self.maps or path in self.norms or not self.own(path) for path in (name, *self.under(name)))

    def repeated(self, name: str) -> bool:
        """Whether `name` lies in one of several layers of one kind, which is what a stack consists of."""
        return any(around in self._layers for around in (name, *self.ancestors(name)))

    @cached_property
    def _layers(self) -> set[str]:
        """Paths of siblings of one kind that are more than a single layer of numbers."""
        found: set[str] = set()
        for name in self.modules:
            by_kind: dict[type[nn.Module], list[str]] = {}
            for child in self.children(name):
                if any(self.own(path) for path in self.under(child)):
                    by_kind.setdefault(type(self.modules[child]), []).append(child)
            for kind, alike in by_kind.items():
                # Containers of different things are often siblings; they are no layers.
                if len(alike) > 1 and kind not in (nn.ModuleList, nn.Sequential, nn.ModuleDict):
                    found.update(alike)
        return found

    def _subtree_ends(self) -> list[int]:
        """For each place, the first place that is no longer below it; the order is that of a walk in depth."""
        ends = [len(self._names)] * len(self._names)
        opened: list[int] = []
        for place, name in enumerate(self._names):
            while opened and not _is_below(name, self._names[opened[-1]]):
                ends[opened.pop()] = place
            opened.append(place)
        return ends


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that `module` itself registers, by name."""
    return dict(module.named_parameters(recurse=False, remove_duplicate=False))


def below(name: str, key: str) -> str:
    """Path of what `name` calls `key`."""
    return f"{name}.{key}" if name else key


def _is_below(name: str, around: str) -> bool:
    return around == ROOT or name.startswith(f"{around}.")


def _as_map(name: str, module: nn.Module) -> FoundMap | None:
    own = own_parameters(module)
    weight, bias = own.get("weight"), own.get("bias")
    if weight is None or weight.dim() != 2 or set(own) - {"weight", "bias"}:
        return None
    if isinstance(module, nn.Linear):
        dim_out, dim_in = weight.shape
    elif type(module).__name__ == "Conv1D" and getattr(module, "nf", None) == weight.shape[1]:
        dim_in, dim_out = weight.shape
    else:
        return None
    return FoundMap(name, weight, bias, dim_in, dim_out)


def _is_norm(module: nn.Module) -> bool:
    """One of torch's norms, or a class called so that has vectors alone (T5's, Llama's, timm's norms)."""
    if isinstance(module, _NORMS):
        return True
    own = own_parameters(module)
    return bool(own) and "norm" in type(module).__name__.lower() and all(p.dim() <= 1 for p in own.values())
