"""Finds MLP blocks by their structure. Letters: N width, h hidden width, at least N.

| recognised | structure that must hold |
|---|---|
| a module of its own | its only maps are N -> h and h -> N, in that order; it holds nothing else but norms |
| gated | N -> h twice and h -> N in any order, or N -> 2 h and h -> N |
| beside attention | two or three such maps that follow each other in a module with attention (BERT, BART), h > N |

Convolutions, routers and experts kept as one three-dimensional weight fit no line: they are `other`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minform_cli.foreign.attention import FoundAttention, ParameterPart
from minform_cli.foreign.tree import FoundMap, Tree


@dataclass(frozen=True, eq=False)
class FoundMlp:
    """One MLP block.

    Attributes:
        name: path of the module, or of its first map.
        layer: path of the nearest module around it that holds attention; None in a model without.
        width: N.
        maps: the linear maps in the order of registration.
        inside: the numbers of norms inside.
    """

    name: str
    layer: str | None
    width: int
    maps: tuple[FoundMap, ...]
    inside: tuple[ParameterPart, ...]

    @property
    def pieces(self) -> tuple[ParameterPart, ...]:
        """The numbers of the maps."""
        return tuple(ParameterPart(p, p.numel()) for m in self.maps for p in (m.weight, m.bias) if p is not None)


def find_mlps(tree: Tree, attentions: Sequence[FoundAttention]) -> list[FoundMlp]:
    """Every MLP block of the model, in the order of registration."""
    taken = {id(piece.parameter) for attention in attentions for _, piece in attention.pieces}
    holders = {around for a in attentions for around in (a.name, *tree.ancestors(a.name))}
    found: list[FoundMlp] = []
    done: set[str] = set()
    for name in tree.modules:
        if name in done or name in holders or name in tree.maps:
            continue
        maps = tree.maps_under(name)
        if 2 <= len(maps) <= 3 and tree.only_maps_and_norms(name) and not _used(maps, taken) and _is_mlp(maps, 1):
            inside = [
                ParameterPart(p, p.numel()) for path in (name, *tree.under(name)) if path in tree.norms
                for p in tree.own(path).values()
            ]  # fmt: skip
            found.append(FoundMlp(name, _layer(tree, name, holders), maps[0].dim_in, tuple(maps), tuple(inside)))
            done.update((name, *tree.under(name)))
    loose: dict[str, list[FoundMap]] = {}
    for name, free in tree.maps.items():
        layer = _layer(tree, name, holders)
        if layer is not None and name not in done and not _used([free], taken):
            loose.setdefault(layer, []).append(free)
    widths = {a.width for a in attentions}
    for layer, maps in loose.items():
        place = 0
        while place < len(maps):
            run = next((r for r in (maps[place : place + 3], maps[place : place + 2]) if _is_mlp(r, 0)), None)
            if run is not None and run[0].dim_in in widths:
                found.append(FoundMlp(run[0].name, layer, run[0].dim_in, tuple(run), ()))
                place += len(run)
            else:
                place += 1
    return sorted(found, key=lambda mlp: tree.order[mlp.name])


def _is_mlp(maps: Sequence[FoundMap], slack: int) -> bool:
    """Whether the maps go from N to a hidden width and back; with `slack`, the hidden width may be N itself."""
    down = maps[-1] if len(maps) == 2 else next((m for m in maps if m.dim_out < m.dim_in), maps[-1])
    n, hidden = down.dim_out, down.dim_in
    up = [m for m in maps if m is not down]
    if hidden + slack <= n or any(m.dim_in != n for m in up):
        return False
    return [m.dim_out for m in up] in ([hidden], [2 * hidden], [hidden, hidden])


def _layer(tree: Tree, name: str, holders: set[str]) -> str | None:
    return next((around for around in tree.ancestors(name) if around in holders), None)


def _used(maps: Sequence[FoundMap], taken: set[int]) -> bool:
    return any(id(m.weight) in taken for m in maps)
