"""What each reduction would save in a foreign model, in closed form. N width, H heads, I inner width, d = I / H.

Per attention; the names are those of the shipped variants, the sources those of the parts behind them:

| reduction | goes | comes | needs |
|---|---|---|---|
| symmetric | W_K | | one key per query head; keys and queries of tokens of one width |
| symmetric-cholesky, symmetric-mirrored | W_Q, W_K | H d (d + 1) / 2 | as symmetric, and I = N |
| symmetric-pairwise | W_K | H d^2 | as symmetric |
| collapsed-qk | W_Q, W_K | H (N N_k + b) | nothing between W_Q and W_K |
| identity-query | W_Q | | I = N |
| collapsed-vo | W_V, W_O | H N N_k + b | W_O |
| no-vo | W_V, W_O | | I = N, keys and queries of tokens of one width |
| key-value | W_V | | keys and values of one width |
| no-mlp | the MLP, its norm | | |

Biases of projections that go, go too. A collapsed matrix keeps the vector b into which its live biases merge, where the
model has them. Cross-attention counts as self-attention. Numbers that blocks share go once, and only if all of them go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from minform_cli.foreign.attention import FoundAttention, ParameterPart, is_norm_between
from minform_cli.foreign.mlp import FoundMlp
from minform_cli.foreign.recognise import Recognised


@dataclass(frozen=True, eq=False)
class Change:
    """What a reduction does to one block: pieces that go, and numbers that come, in `group`."""

    gone: tuple[ParameterPart, ...]
    come: int
    group: str


Rule = Callable[[FoundAttention], Change | str]
"""What a reduction does to an attention, or why it does not apply."""


@dataclass(frozen=True)
class ReductionRow:
    """One row of the table: rules for attention, whether the MLP goes, whether it is the model with one head."""

    name: str
    rules: tuple[Rule, ...] = ()
    no_mlp: bool = False
    one_head: bool = False


@dataclass(frozen=True)
class Effect:
    """A reduction's outcome: the groups left, and how many blocks it reaches.

    Attributes:
        name: of the reduction.
        groups: numbers left by group; None where it applies to no block.
        attentions, mlps: how many blocks it applies to.
        reasons: why not, where it does not apply -> how many blocks that holds for.
    """

    name: str
    groups: dict[str, int] | None
    attentions: int
    mlps: int
    reasons: dict[str, int]


def effects(model: Recognised) -> list[Effect]:
    """Every reduction's effect on `model`, in the order of `REDUCTIONS`."""
    return [_effect(model, reduction) for reduction in REDUCTIONS]


def _tied(a: FoundAttention) -> Change | str:
    return _not_alike(a) or Change(a.k, 0, "query_key")


def _triangle(a: FoundAttention) -> Change | str:
    reason = _not_alike(a) or _no_columns(a) or _no_heads(a)
    if reason or a.heads is None:
        return reason
    d = a.inner // a.heads
    return Change(a.q + a.k, a.heads * d * (d + 1) // 2, "query_key")


def _pairwise(a: FoundAttention) -> Change | str:
    reason = _not_alike(a) or _no_heads(a)
    if reason or a.heads is None:
        return reason
    return Change(a.k, a.heads * (a.inner // a.heads) ** 2, "query_key")


def _collapsed_qk(a: FoundAttention) -> Change | str:
    if a.between or a.heads is None:
        return a.between or _no_heads(a)
    merged = a.key_width if len(a.q) > 1 else 0
    return Change(a.q + a.k, a.heads * (a.width * a.key_width + merged), "query_key")


def _identity_query(a: FoundAttention) -> Change | str:
    return _no_columns(a) or Change(a.q, 0, "query_key")


def _collapsed_vo(a: FoundAttention) -> Change | str:
    if not a.o or a.heads is None:
        return _no_heads(a) or "no W_O to collapse with W_V"
    merged = a.width if len(a.v) > 1 or len(a.o) > 1 else 0
    return Change(a.v + a.o, a.heads * a.width * a.key_width + merged, "value_output")


def _no_vo(a: FoundAttention) -> Change | str:
    return _other_keys(a) or _no_columns(a) or Change(a.v + a.o, 0, "value_output")


def _key_value(a: FoundAttention) -> Change | str:
    if a.key_inner != a.value_inner:
        return f"keys of width {a.key_inner:,} are no values of width {a.value_inner:,}"
    return Change(a.v, 0, "value_output")


REDUCTIONS: tuple[ReductionRow, ...] = (
    ReductionRow("no-mlp", no_mlp=True),
    ReductionRow("symmetric", (_tied,)),
    ReductionRow("symmetric-cholesky", (_triangle,)),
    ReductionRow("symmetric-mirrored", (_triangle,)),
    ReductionRow("symmetric-pairwise", (_pairwise,)),
    ReductionRow("collapsed-qk", (_collapsed_qk,)),
    ReductionRow("collapsed-vo", (_collapsed_vo,)),
    ReductionRow("no-vo", (_no_vo,)),
    ReductionRow("identity-query", (_identity_query,)),
    ReductionRow("key-value", (_key_value,)),
    ReductionRow("no-mlp+symmetric", (_tied,), no_mlp=True),
    ReductionRow("no-mlp+collapsed-qk+no-vo", (_collapsed_qk, _no_vo), no_mlp=True),
    ReductionRow("minimal", (_collapsed_qk, _no_vo), no_mlp=True, one_head=True),
)
"""The rows of the table; `minimal` is the combination above it with one head."""


def _not_alike(a: FoundAttention) -> str:
    """Why queries and keys cannot be one projection; empty if they can."""
    if a.key_inner != a.inner:
        heads = f"{a.heads} query heads share {a.heads * a.key_inner // a.inner} key heads" if a.heads else ""
        return f"grouped-query attention: {heads or 'several queries share a key'}"
    return _other_keys(a)


def _other_keys(a: FoundAttention) -> str:
    if a.key_width == a.width:
        return ""
    return f"cross-attention: keys of tokens of width {a.key_width:,}, queries of width {a.width:,}"


def _no_columns(a: FoundAttention) -> str:
    """Why x_h, the head's columns of the tokens, cannot stand for a projection; empty if it can."""
    return "" if a.inner == a.width else f"the heads' {a.inner:,} columns are not the tokens' {a.width:,}"


def _no_heads(a: FoundAttention) -> str:
    return "" if a.heads else "the number of heads was not found"


def _effect(model: Recognised, reduction: ReductionRow) -> Effect:
    if not model.attentions:
        return Effect(reduction.name, None, 0, 0, {"no attention was recognised": 0})
    changed: list[tuple[FoundAttention, list[Change]]] = []
    reasons: dict[str, int] = {}
    for attention in model.attentions:
        one = replace(attention, heads=1) if reduction.one_head else attention
        outcomes = [rule(one) for rule in reduction.rules]
        refused = next((outcome for outcome in outcomes if isinstance(outcome, str)), None)
        if refused is not None:
            reasons[refused] = reasons.get(refused, 0) + 1
        elif outcomes:
            changed.append((attention, [outcome for outcome in outcomes if isinstance(outcome, Change)]))
    mlps = model.mlps if reduction.no_mlp else []
    if reduction.no_mlp and not mlps:
        reasons["no MLP was recognised"] = 0
    if (reduction.rules and not changed) or (reduction.no_mlp and not mlps):
        return Effect(reduction.name, None, 0, 0, reasons)
    groups = dict(model.groups)
    _apply(groups, model, changed)
    if mlps:
        groups["mlp"] = 0
        groups["norm"] -= _norms_of(model, mlps)
    return Effect(reduction.name, groups, len(changed), len(mlps), reasons)


def _apply(groups: dict[str, int], model: Recognised, changed: Sequence[tuple[FoundAttention, list[Change]]]) -> None:
    """Takes what goes from `groups` and adds what comes; numbers shared with a block that keeps them stay."""
    gone_by = {id(attention): {p.key for change in changes for p in change.gone} for attention, changes in changed}
    kept: set[tuple[int, str]] = set()
    for attention in model.attentions:
        gone = gone_by.get(id(attention), set[tuple[int, str]]())
        kept.update(piece.key for _, piece in attention.pieces if piece.key not in gone)
    seen: set[tuple[int, str]] = set()
    for _, changes in changed:
        for change in changes:
            fresh = [piece for piece in change.gone if piece.key not in seen and piece.key not in kept]
            seen.update(piece.key for piece in fresh)
            groups[change.group] -= sum(piece.numel for piece in fresh)
            # Blocks that shared the old projections share the new one.
            groups[change.group] += change.come if fresh else 0


def _norms_of(model: Recognised, mlps: Sequence[FoundMlp]) -> int:
    """Numbers of the norms that stand for the MLPs alone.

    Norms inside an MLP do. Around it, where a layer has as many norms of its width for each of its sublayers, the
    MLP's share; one norm for both sublayers (parallel blocks) stays.
    """
    tree = model.tree
    gone = {id(piece.parameter): piece.numel for mlp in mlps for piece in mlp.inside}
    of_layers: dict[str, list[FoundMlp]] = {}
    for mlp in mlps:
        if mlp.layer is not None and all(piece.numel != mlp.width for piece in mlp.inside):
            of_layers.setdefault(mlp.layer, []).append(mlp)
    attentions = {a.name for a in model.attentions}
    for layer, of_layer in of_layers.items():
        norms = [
            tree.own(path)
            for path in tree.under(layer)
            if path in tree.norms
            and not is_norm_between(path)
            and all(p.numel() == of_layer[0].width for p in tree.own(path).values())
        ]
        sublayers = len(of_layer) + sum(path in attentions for path in tree.under(layer))
        each, odd = divmod(len(norms), sublayers)
        if not odd:
            for norm in norms[len(norms) - each * len(of_layer) :]:
                gone.update({id(p): p.numel() for p in norm.values()})
    return sum(gone.values())
