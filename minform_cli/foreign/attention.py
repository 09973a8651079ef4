"""Finds attention by its structure. Letters: N width, H heads, d width of a head, I = H d inner width.

| recognised | structure that must hold |
|---|---|
| `torch.nn.MultiheadAttention` | by class; one `in_proj_weight` or three, `out_proj` |
| fused | a map N -> 3 I beside a map I -> N; it is named like qkv, or the number of heads is known |
| fused, grouped | a map named like qkv, N -> (H + 2 G) d beside I -> N, with H known, G groups of keys |
| separate | maps named like query, key and value; the key's width divides the query's |
| query and key-value | maps named like query and kv, the latter N -> 2 G d |

Three equal maps look alike, so q, k and v are told apart by name (`q`, `query`, `to_q`, `q_proj`, `w_q`, `q_lin`, ...).
The output map I -> N is the one named so (`o`, `out`, `proj`, `dense`, `to_out`, ...) beside the others or in the
module around them (BERT), or the only further map beside them. A module that fits
no line is no attention to us, and its maps are `other`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from minform_cli.foreign.tree import ROOT, FoundMap, Tree, own_parameters

_NAMES = {
    role: re.compile(
        rf"(to_?|w_?|c_|linear_?|lin_?)?({core})(_?(proj|projection|lin|linear|dense|layer))?", re.IGNORECASE
    )
    for role, core in {
        "q": "q|query|queries",
        "k": "k|key|keys",
        "v": "v|value|values",
        "kv": "kv|key_value",
        "qkv": "qkv|query_key_value|attn|pack|in",
        "o": "o|out|output|proj|dense|projection",
    }.items()
}
_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads", "nheads")
_HEAD_DIMS = ("head_dim", "attention_head_size", "dim_head", "head_size")
_NORM_BETWEEN = re.compile(r"(q|k|query|key)_?(layer)?_?(norm|ln)|(norm|ln)_?(q|k)", re.IGNORECASE)
_ROTARY = re.compile(r"Rotary|Rope|RoPE")


@dataclass(frozen=True, eq=False)
class ParameterPart:
    """A parameter, or the part of one that has a role of its own; `part` tells the parts of a fused one apart."""

    parameter: nn.Parameter
    numel: int
    part: str = ""

    @property
    def key(self) -> tuple[int, str]:
        """Equal for two uses of the same numbers."""
        return id(self.parameter), self.part


@dataclass(frozen=True, eq=False)
class FoundAttention:
    """One attention of a model.

    Attributes:
        name: path of the module that holds the projections.
        width: N of the tokens that queries are made of; `key_width` of those that keys are made of.
        heads: H, None where it was not found.
        inner, key_inner, value_inner: width of the queries, keys and values over all heads.
        q, k, v, o: the numbers of each projection, biases included; `o` is empty where there is no W_O.
        extra: numbers of `value_output` and `query_key` that stay (extra tokens of `MultiheadAttention`), by group.
        between: what stands between W_Q and W_K, so that they have no product; empty for nothing.
    """

    name: str
    width: int
    key_width: int
    heads: int | None
    inner: int
    key_inner: int
    value_inner: int
    q: tuple[ParameterPart, ...]
    k: tuple[ParameterPart, ...]
    v: tuple[ParameterPart, ...]
    o: tuple[ParameterPart, ...]
    extra: tuple[tuple[str, ParameterPart], ...]
    between: str

    @property
    def pieces(self) -> Iterator[tuple[str, ParameterPart]]:
        """Every piece with its group."""
        for group, pieces in (("query_key", self.q + self.k), ("value_output", self.v + self.o)):
            for piece in pieces:
                yield group, piece
        yield from self.extra


@dataclass(frozen=True, eq=False)
class _Inputs:
    """The projections before the heads; `maps` are those they consist of."""

    maps: tuple[FoundMap, ...]
    q: tuple[ParameterPart, ...]
    k: tuple[ParameterPart, ...]
    v: tuple[ParameterPart, ...]
    width: int
    key_width: int
    inner: int
    key_inner: int
    value_inner: int


def find_attention(tree: Tree) -> list[FoundAttention]:
    """Every attention of the model, in the order of registration."""
    rotary = any(_ROTARY.search(type(module).__name__) for module in tree.modules.values())
    found: list[FoundAttention] = []
    for name, module in tree.modules.items():
        if isinstance(module, nn.MultiheadAttention):
            found.append(_multihead(name, module))
        elif (attention := _from_maps(tree, name, module, rotary)) is not None:
            found.append(attention)
    return found


def _multihead(name: str, module: nn.MultiheadAttention) -> FoundAttention:
    own, n = own_parameters(module), module.embed_dim
    pieces: dict[str, tuple[ParameterPart, ...]] = {}
    fused, bias = own.get("in_proj_weight"), own.get("in_proj_bias")
    for role in ("q", "k", "v"):
        single = own.get(f"{role}_proj_weight")
        weight = ParameterPart(fused, n * n, role) if fused is not None else None
        if weight is None:
            assert single is not None, "MultiheadAttention without a projection"
            weight = ParameterPart(single, single.numel())
        pieces[role] = (weight, *([ParameterPart(bias, n, role)] if bias is not None else []))
    extra = tuple(
        (group, ParameterPart(parameter, parameter.numel()))
        for key, group in (("bias_k", "query_key"), ("bias_v", "value_output"))
        if (parameter := own.get(key)) is not None
    )
    return FoundAttention(
        name=name,
        width=n,
        key_width=module.kdim or n,
        heads=module.num_heads,
        inner=n,
        key_inner=n,
        value_inner=n,
        q=pieces["q"],
        k=pieces["k"],
        v=pieces["v"],
        o=tuple(ParameterPart(p, p.numel()) for p in module.out_proj.parameters()),
        extra=extra,
        between="",
    )


def _from_maps(tree: Tree, name: str, module: nn.Module, rotary: bool) -> FoundAttention | None:
    """The attention whose projections are this module's children; None where the structure does not hold."""
    named = {path.rpartition(".")[2]: found for path in tree.children(name) if (found := tree.sole_map(path))}
    roles = {role: found for role in _NAMES if (found := _by_name(named, role)) is not None}
    if not named:
        return None
    heads = _attribute(module, _HEADS)
    if {"q", "k", "v"} <= set(roles):
        inputs = _separate(roles["q"], roles["k"], roles["v"])
    elif {"q", "kv"} <= set(roles):
        inputs = _query_and_kv(roles["q"], roles["kv"])
    else:
        inputs = _fused(tree, name, roles.get("qkv"), list(named.values()), heads)
    if inputs is None or inputs.inner % inputs.key_inner:
        return None
    groups = inputs.inner // inputs.key_inner
    if heads is None and (head_dim := _attribute(module, _HEAD_DIMS)):
        heads = inputs.inner // head_dim
    heads = heads if heads is not None and inputs.inner % heads == 0 and heads % groups == 0 else None
    if groups > 1 and heads is None:
        return None
    spare = [found for found in named.values() if found not in inputs.maps]
    output = _output(tree, name, roles.get("o"), spare, inputs.value_inner * groups, inputs.width)
    biases = {role: _own_bias(tree, name, role) for role in ("q", "k", "v")}
    return FoundAttention(
        name=name,
        width=inputs.width,
        key_width=inputs.key_width,
        heads=heads,
        inner=inputs.inner,
        key_inner=inputs.key_inner,
        value_inner=inputs.value_inner,
        q=inputs.q + biases["q"],
        k=inputs.k + biases["k"],
        v=inputs.v + biases["v"],
        o=_whole(output) if output is not None else (),
        extra=(),
        between=_between(tree, name, rotary),
    )


def _separate(q: FoundMap, k: FoundMap, v: FoundMap) -> _Inputs | None:
    if k.dim_in != v.dim_in:
        return None
    return _Inputs(
        (q, k, v), _whole(q), _whole(k), _whole(v), q.dim_in, k.dim_in, q.dim_out, k.dim_out, v.dim_out
    )  # fmt: skip


def _query_and_kv(q: FoundMap, kv: FoundMap) -> _Inputs | None:
    if kv.dim_out % 2:
        return None
    half = kv.dim_out // 2
    k, v = _part(kv, half, "k"), _part(kv, half, "v")
    return _Inputs((q, kv), _whole(q), k, v, q.dim_in, kv.dim_in, q.dim_out, half, half)


def _fused(
    tree: Tree, name: str, named: FoundMap | None, maps: Sequence[FoundMap], heads: int | None
) -> _Inputs | None:
    """One map for queries, keys and values: known by its name, or by its 3 I columns where H is known."""
    if named is None and heads is not None and len(maps) == 2:
        named = next((a for a in maps for b in maps if a.dim_out == 3 * b.dim_in and a.dim_in == b.dim_out), None)
    if named is None:
        return None
    outputs = [m for m in maps if m is not named and m.dim_out == named.dim_in]
    inner = outputs[0].dim_in if len(outputs) == 1 else named.dim_out // 3
    key_inner, odd = divmod(named.dim_out - inner, 2)
    if odd or key_inner <= 0 or key_inner > inner:
        return None
    # Without its output map beside it, only N -> 3 N tells a fused projection from any other map called so.
    if not outputs and (named.dim_out != 3 * named.dim_in or (heads is None and tree.own(name))):
        return None
    n = named.dim_in
    q, k, v = _part(named, inner, "q"), _part(named, key_inner, "k"), _part(named, key_inner, "v")
    return _Inputs((named,), q, k, v, n, n, inner, key_inner, key_inner)


def _output(
    tree: Tree, name: str, named: FoundMap | None, spare: Sequence[FoundMap], width: int, model: int
) -> FoundMap | None:
    """W_O, I -> N: named so beside the projections, or in the module around them, or the only further map."""

    def fits(found: FoundMap | None) -> bool:
        return found is not None and (found.dim_in, found.dim_out) == (width, model)

    if named in spare and fits(named):
        return named
    if name != ROOT:
        around = name.rpartition(".")[0]
        outside = _by_name(
            {path.rpartition(".")[2]: m for path in tree.children(around) if (m := tree.sole_map(path))}, "o"
        )
        if fits(outside):
            return outside
    return spare[0] if len(spare) == 1 and fits(spare[0]) else None


def _by_name(named: dict[str, FoundMap], role: str) -> FoundMap | None:
    """The one map named for `role`; None where there is none or more than one."""
    found = [m for key, m in named.items() if _NAMES[role].fullmatch(key)]
    return found[0] if len(found) == 1 else None


def _whole(found: FoundMap) -> tuple[ParameterPart, ...]:
    return tuple(ParameterPart(p, p.numel()) for p in (found.weight, found.bias) if p is not None)


def _part(found: FoundMap, width: int, part: str) -> tuple[ParameterPart, ...]:
    weight = ParameterPart(found.weight, width * found.dim_in, part)
    return (weight,) if found.bias is None else (weight, ParameterPart(found.bias, width, part))


def _own_bias(tree: Tree, name: str, role: str) -> tuple[ParameterPart, ...]:
    """A bias that the module keeps beside a fused map without one (BEiT's `q_bias` and `v_bias`)."""
    return tuple(ParameterPart(p, p.numel()) for key, p in tree.own(name).items() if key == f"{role}_bias")


def _attribute(module: nn.Module, names: Sequence[str]) -> int | None:
    """The first of `names` that is a whole number on the module or on its config."""
    for holder in (module, getattr(module, "config", None)):
        for name in names:
            value = getattr(holder, name, None)
            if isinstance(value, int) and value > 0:
                return value
    return None


def _between(tree: Tree, name: str, rotary: bool) -> str:
    if rotary:
        return "rotary positions stand between W_Q and W_K"
    norms = any(path in tree.norms and is_norm_between(path) for path in tree.children(name))
    return "norms of queries and keys stand between W_Q and W_K" if norms else ""


def is_norm_between(path: str) -> bool:
    """Whether the norm at `path` is one of queries or keys, by its name."""
    return _NORM_BETWEEN.fullmatch(path.rpartition(".")[2]) is not None
