"""One block out of several: the means of their weights, heads in an aligned basis.

For any orthogonal A, queries q A and keys k A have the scores of q and k, and values v A with A^T W_O the outputs of v
and W_O. So before a mean is taken, each head of every block is turned to be as near as possible to that of the first:
A = U V^T from U D V^T = svd of W_Q^T W_Q1 + W_K^T W_K1 (W_V^T W_V1 + W_O W_O1^T). Weights of everything else, and of
heads whose keys something else reads, are averaged as they are.
Source: Schoenemann 1966, A generalized solution of the orthogonal Procrustes problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn

from minform_cli.errors import InputError
from minform_cli.models.block import Block
from minform_cli.models.parts.base import by_columns, by_rows
from minform_cli.models.parts.columns import best_factors
from minform_cli.models.parts.linear import AdaptedMap, Matrix
from minform_cli.models.parts.similarity.base import Projections, Similarity
from minform_cli.models.parts.similarity.low_rank import LowRank as LowRankSimilarity
from minform_cli.models.parts.similarity.separate import Separate as SeparateSimilarity
from minform_cli.models.parts.value.base import Value, ValueMaps
from minform_cli.models.parts.value.low_rank import LowRank as LowRankValue
from minform_cli.models.parts.value.separate import Separate as SeparateValue

_SCORES: Any = (SeparateSimilarity, LowRankSimilarity)
_VALUES: Any = (SeparateValue, LowRankValue)
_LOW_SCORES: Any = LowRankSimilarity
_LOW_VALUES: Any = LowRankValue


@torch.no_grad()
def mean_block(blocks: Sequence[Block]) -> Block:
    """One block with the means of their weights.

    Raises:
        InputError: ranks of low rank differ between them.
    """
    if len(blocks) == 1:
        return blocks[0]
    mean = deepcopy(blocks[0])
    for parameter, *all_ in zip(mean.parameters(), *(block.parameters() for block in blocks), strict=True):
        if len({each.shape for each in all_}) > 1:
            raise InputError("blocks of other ranks or widths become no one block; accepted: alike ones")
        parameter.copy_(torch.stack(all_).mean(0))
    for name in ("attention", "cross"):
        attentions = [getattr(block, name) for block in blocks]
        if attentions[0] is None:
            continue
        made = getattr(mean, name)
        scores = _all_of([each.similarity for each in attentions], _SCORES)
        values = _all_of([each.value for each in attentions], _VALUES)
        if values is not None:
            _mean_values(made.value, values, values[0])
            if scores is not None:
                _mean_scores(made.similarity, scores, scores[0])
    return mean


def joined(blocks: Sequence[Block]) -> Block:
    """One block that does what these do one after another, with their own modules.

    Raises:
        InputError: no block does, as two have an MLP, or attention comes after one.
    """
    if len(blocks) == 1:
        return blocks[0]
    made = copy(blocks[0])
    made._modules = dict(made._modules)  # pyright: ignore[reportPrivateUsage]
    for block in blocks[1:]:
        theirs = dict(block.named_children())
        if made.mlp is not None or theirs.keys() & dict(made.named_children()).keys():
            raise InputError("blocks with an MLP before attention become no one block with it behind")
        for name, part in theirs.items():
            setattr(made, name, part)
    return made


@torch.no_grad()
def adapt(block: Block, runs: Sequence[Block]) -> None:
    """Gives a block that is the mean of others what each of them has beside it, as far as its additions hold that.

    Args:
        block: the mean; without maps that have additions it stays as it is, and so it does if those of `runs` have any.
        runs: for each of its runs the block that it is like there.
    """
    maps = [part for part in block.modules() if isinstance(part, AdaptedMap)]
    added = {id(each) for part in maps for each in (part.a, part.b)}
    shared = {name: each.clone() for name, each in block.named_parameters() if id(each) not in added}
    copied = any(isinstance(part, AdaptedMap) for source in runs for part in source.modules())
    for run, source in enumerate(runs if maps and not copied else ()):
        for part in maps:
            part.run, part.adapts = run, True
        block.from_separate(_turned(runs[0], source))
        for name, each in shared.items():
            block.get_parameter(name).copy_(each)
    for part in maps:
        part.run, part.adapts = 0, False


def _turned(first: Block, other: Block) -> Block:
    """A copy of `other` whose separate heads are turned to those of `first`."""
    made = deepcopy(other)
    for name in ("attention", "cross"):
        ours, theirs = (getattr(block, name) for block in (first, made))
        if ours is None:
            continue
        if _all_of([ours.value, theirs.value], SeparateValue):
            _mean_values(theirs.value, [theirs.value], ours.value)
            if _all_of([ours.similarity, theirs.similarity], SeparateSimilarity):
                _mean_scores(theirs.similarity, [theirs.similarity], ours.similarity)
    return made


def _all_of(parts: Sequence[nn.Module], kind: Any) -> Sequence[Any] | None:
    """The parts, if all of them are of that kind."""
    return parts if all(isinstance(part, kind) for part in parts) else None


def _turns(first: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """A of every head (H, d, d), that turns `other`, whose columns by head are (H, n, d) each, nearest to `first`."""
    both = torch.stack([theirs.mT @ ours for ours, theirs in zip(first, other, strict=True)]).sum(0)
    left, _, right = torch.linalg.svd(both)
    return left @ right


def _mean_scores(made: Similarity, parts: Sequence[Similarity], first: Similarity) -> None:
    """Of the parts, turned to `first`.

    Heads are (N + 1) x d: the row of the bias behind those of W_Q, zeros behind those of W_K.
    """
    heads = made.heads

    def by_head(part: Similarity) -> tuple[Tensor, Tensor]:
        queries, keys = part.projections()
        both = torch.cat([by_columns(queries.weight, heads), queries.bias.view(heads, 1, -1)], dim=1)
        found = both, nn.functional.pad(by_columns(keys.weight, heads), (0, 0, 0, 1))
        return _balanced(*found) if isinstance(part, _LOW_SCORES) else found

    queries, keys = _mean_of_heads([by_head(part) for part in parts], by_head(first))
    given = Projections(Matrix(queries[:-1], queries[-1]), Matrix(keys[:-1], torch.zeros_like(keys[0])))
    cast(Any, made)._fit(given)


def _mean_values(made: Value, parts: Sequence[Value], first: Value) -> None:
    """Of the parts, turned to `first`.

    Heads are (N + 1) x d: the row of the bias behind those of W_V, zeros behind the columns of W_O.
    """
    heads = made.heads

    def by_head(part: Value) -> tuple[Tensor, Tensor]:
        values, output = part.maps(None)
        both = torch.cat([by_columns(values.weight, heads), values.bias.view(heads, 1, -1)], dim=1)
        found = both, nn.functional.pad(by_rows(output.weight, heads).mT, (0, 0, 0, 1))
        return _balanced(*found) if isinstance(part, _LOW_VALUES) else found

    values, outputs = _mean_of_heads([by_head(part) for part in parts], by_head(first))
    after = torch.stack([part.maps(None).output.bias for part in parts]).mean(0)
    given = ValueMaps(Matrix(values[:-1], values[-1]), Matrix(outputs[:-1].T, after))
    cast(Any, made)._fit(given, None)


def _balanced(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The same products by head, both factors as large: what low rank leaves open but for a turn."""
    pairs = [best_factors(one, other.mT, one.shape[1]) for one, other in zip(left, right, strict=True)]
    return torch.stack([one for one, _ in pairs]), torch.stack([other.mT for _, other in pairs])


_Sides = tuple[Tensor, Tensor]
"""Both sides of every head, (H, N + 1, d) each."""


def _mean_of_heads(parts: Sequence[_Sides], first: _Sides) -> _Sides:
    """Means of both sides, (N + 1, H d) each, every head turned to that of `first`."""
    turned: list[tuple[Tensor, Tensor]] = []
    for part in parts:
        turn = _turns(first, part)
        turned.append((_joined(part[0] @ turn), _joined(part[1] @ turn)))
    left, right = zip(*turned, strict=True)
    return torch.stack(left).mean(0), torch.stack(right).mean(0)


def _joined(by_head: Tensor) -> Tensor:
    """Every head's columns, side by side."""
    return by_head.transpose(0, 1).flatten(1)
