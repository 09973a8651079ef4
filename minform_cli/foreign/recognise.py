"""Sorts every parameter of a foreign model into the groups of a count, by structure. What fits no line is `other`.

| group | what is recognised |
|---|---|
| `query_key`, `value_output` | the projections of attention (`attention.py`) |
| `mlp` | the maps of MLP blocks (`mlp.py`) |
| `norm` | torch's norms, and classes called so that hold vectors alone |
| `embedding` | `nn.Embedding`; non-overlapping convolutions (kernel = stride > 1) from at most 4 channels; parameters named token, position or embedding (`wte`, `wpe`); maps to the blocks' width that stand before the first block |
| `head` | maps after the last block that take the blocks' width or what another such map makes, with the vectors beside them; in a model without blocks its last map |

Before and after are the order of registration. Layers of a stack that stand there are no head and no embedding: they
are blocks that were not recognised. A tensor that stands in two places counts once, where it stands first.
"""  # noqa: E501

from __future__ import annotations

import re
from dataclasses import dataclass, field

from torch import nn

from minform_cli.foreign.attention import FoundAttention, find_attention
from minform_cli.foreign.mlp import FoundMlp, find_mlps
from minform_cli.foreign.tree import FoundMap, Tree

OTHER = "other"
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_IMAGE_CHANNELS = 4
_EMBEDDED = re.compile(r"token|pos_|_pos|position|embed|w[pt]e$", re.IGNORECASE)


@dataclass(frozen=True)
class Recognised:
    """A model whose parameters are sorted.

    Attributes:
        tree: its modules.
        attentions, mlps: its blocks.
        groups: parameters by group, `other` last.
        other: path -> numbers of every parameter that was not recognised.
        shared: the paths of each tensor that stands in several places, the one that counts first.
        frozen: path -> numbers of every parameter that takes no gradient.
    """

    tree: Tree
    attentions: list[FoundAttention]
    mlps: list[FoundMlp]
    groups: dict[str, int]
    other: dict[str, int]
    shared: list[list[str]]
    frozen: dict[str, int] = field(default_factory=dict[str, int])


def recognise(model: nn.Module, groups: tuple[str, ...]) -> Recognised:
    """Sorts the parameters of `model` into `groups` and `other`; they add up to its unique parameters."""
    tree = Tree(model)
    attentions = find_attention(tree)
    mlps = find_mlps(tree, attentions)
    shares = _block_shares(attentions, mlps)
    by_module = _module_groups(tree, attentions, mlps, set(shares))
    counted = dict.fromkeys((*groups, OTHER), 0)
    other: dict[str, int] = {}
    frozen: dict[str, int] = {}
    places: dict[int, list[str]] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        places.setdefault(id(parameter), []).append(path)
        if len(places[id(parameter)]) > 1:
            continue
        if not parameter.requires_grad:
            frozen[path] = parameter.numel()
        left = parameter.numel()
        for group, numel in shares.get(id(parameter), {}).items():
            counted[group] += numel
            left -= numel
        group = by_module.get(path, OTHER)
        counted[group] += left
        if left and group == OTHER:
            other[path] = left
    shared = [found for found in places.values() if len(found) > 1]
    return Recognised(tree, attentions, mlps, counted, other, shared, frozen)


def _block_shares(attentions: list[FoundAttention], mlps: list[FoundMlp]) -> dict[int, dict[str, int]]:
    """Parameter -> group -> how many of its numbers belong there; a fused one belongs to two."""
    pieces = [pair for attention in attentions for pair in attention.pieces]
    pieces += [("mlp", piece) for mlp in mlps for piece in mlp.pieces]
    shares: dict[int, dict[str, int]] = {}
    seen: set[tuple[int, str]] = set()
    for group, piece in pieces:
        if piece.key not in seen:
            seen.add(piece.key)
            of_parameter = shares.setdefault(id(piece.parameter), {})
            of_parameter[group] = of_parameter.get(group, 0) + piece.numel
    return shares


def _module_groups(
    tree: Tree, attentions: list[FoundAttention], mlps: list[FoundMlp], taken: set[int]
) -> dict[str, str]:
    """Path of a parameter outside the blocks -> its group, as far as it has one."""
    starts = [tree.order[block.name] for block in (*attentions, *mlps)]
    ends = [tree.order[a.name] + len(tree.under(a.name)) for a in attentions]
    ends += [max(tree.order[m.name] for m in mlp.maps) for mlp in mlps]
    widths = {block.width for block in (*attentions, *mlps)}
    free = [m for m in tree.maps.values() if id(m.weight) not in taken]
    if starts:
        free = [m for m in free if not tree.repeated(m.name)]
        stem = {m.name for m in free if tree.order[m.name] < min(starts) and m.dim_out in widths}
        tail = _tail([m for m in free if tree.order[m.name] > max(ends)], widths)
    else:
        stem, tail = set[str](), _last_map(tree)
    beside = {around for name in tail for around in tree.ancestors(name) if tree.order[around] > max(ends, default=0)}
    groups: dict[str, str] = {}
    for name, module in tree.modules.items():
        for key, parameter in tree.own(name).items():
            path = f"{name}.{key}" if name else key
            if name in tree.norms:
                groups[path] = "norm"
            elif isinstance(module, nn.Embedding) or name in stem or _is_patches(module):
                groups[path] = "embedding"
            elif name in tail or (parameter.dim() <= 1 and name in beside):
                groups[path] = "head"
            elif name not in tree.maps and _EMBEDDED.search(key) and not isinstance(module, _CONVOLUTIONS):
                groups[path] = "embedding"
    return groups


def _tail(maps: list[FoundMap], widths: set[int]) -> set[str]:
    """The maps that a chain from the blocks' width reaches."""
    reached, names = set(widths), set[str]()
    for found in maps:
        if found.dim_in in reached:
            reached.add(found.dim_out)
            names.add(found.name)
    return names


def _last_map(tree: Tree) -> set[str]:
    """The last module with parameters, if it is a map."""
    last = next((name for name in reversed(tree.modules) if tree.own(name)), None)
    return {last} if last is not None and last in tree.maps else set()


def _is_patches(module: nn.Module) -> bool:
    if not isinstance(module, _CONVOLUTIONS):
        return False
    apart = module.kernel_size == module.stride and min(module.kernel_size) >= 1 and max(module.kernel_size) > 1
    return apart and module.in_channels <= _IMAGE_CHANNELS
