"""Low rank: scores_h = (x W_Qh + b_h) (x W_Kh)^T / sqrt(d), W_Qh and W_Kh of r_h columns, r_h at most d.

Numbers: 2 N R, and R of a live bias on the queries; R is the sum of the ranks. There is no key bias. Pivoted: r_h rows
of each W_Kh are the identity, which any W_Kh of rank r_h becomes by an exact change of basis W_Kh T^-1, W_Qh T^T; then
2 N R - sum of r_h^2. At r_h = d nothing of separate projections is lost; at H = 1 W_QK is left.
A head of rank 0 attends to all tokens alike. Heads of fewer columns than others are filled up with zeros when compared.
Initial scale: scores have the variance r_h N^2 s^4 / d for weights of variance s^2; s^2 = sqrt(d / r_h) / N. Pivoted,
each key has the variance 1 + (N - r_h) / N, and W_Qh has d / (r_h N (2 - r_h / N)).
Sources: A3 (ICML 2026), query-key of low rank; OpenMachine transformer-tricks, MatShrink (2026), pivots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.ranks import Pivoted as Stored
from minform_cli.config.axes.similarity import LowRank as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import has_bias, linear
from minform_cli.models.parts.columns import Columns, Pivoted, best_factors, rebased
from minform_cli.models.parts.linear import Matrix, read_map, write_map
from minform_cli.models.parts.similarity.base import SIMILARITIES, Projections, Side, Similarity, head_bias


def start_std(dim: int, width: int, rank: int, *, pivoted: bool) -> float:
    """Standard deviation of a factor's numbers with which the product of both starts as that of separate maps.

    Those have `width` columns a head.
    """
    variance = width / (rank * dim * (2 - rank / dim)) if pivoted else (width / rank) ** 0.5 / dim
    return variance**0.5


@SIMILARITIES.register("low-rank")
class LowRank(Similarity):
    """W_Q -> `w_q`, W_K -> `w_k`: N x R, each head's columns behind those of the one before.

    Out of separate projections: of each head, the factors of W_Qh W_Kh^T and b_Qh W_Kh^T together whose product is
    nearest in the mean square; where a head keeps all d columns, they are taken as they are.
    """

    exact_where = "the rank of W_Qh W_Kh^T is r_h at most; always at r_h = d; pivoted or not"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        options = cast(Options, model.similarity)
        self.ranks = options.ranks(model)
        self.biased = has_bias(model)
        total = sum(self.ranks)
        self.w_q = linear(self.dim, total, bias=self.biased)
        self.w_k = Pivoted(Stored(self.dim, self.ranks)) if options.pivoted else linear(self.dim, total, bias=False)
        self.columns = Columns(self.ranks)
        dense = (self.w_q,) if options.pivoted else (self.w_q, self.w_k)
        for module in dense:
            for rows, rank in zip(cast(nn.Linear, module).weight.split(self.ranks), self.ranks, strict=True):
                if rank:
                    nn.init.normal_(rows, std=start_std(self.dim, self.head_dim, rank, pivoted=options.pivoted))

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q."""
        return self.columns.split(self.w_q(x))

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b h s e"]:
        """Through W_K."""
        return self.columns.split(self.w_k(y))

    def projections(self) -> Projections:
        """Its own, with columns of zeros up to d."""
        queries, keys = (
            Matrix(*(self.columns.padded(each, self.head_dim) for each in (weight, bias.unsqueeze(0))))
            for weight, bias in (read_map(self.w_q), read_map(self.w_k))
        )
        return Projections(Matrix(queries.weight, queries.bias[0]), Matrix(keys.weight, keys.bias[0]))

    @torch.no_grad()
    def set_factors(
        self,
        queries: Sequence[Float[Tensor, "n _"]],
        query_bias: Sequence[Float[Tensor, " _"]] | None,
        keys: Sequence[Float[Tensor, "n _"]],
    ) -> None:
        """Takes W_Qh, b_h and W_Kh of every head, whose scores it then gives; in another basis where it is pivoted.

        Args:
            queries, keys: r_h columns of each head.
            query_bias: of each head's queries; None: none. It is lost where this part has none.

        Raises:
            InputError: a pivoted one would lose too much to rounding; nothing has changed.
        """
        biases = [each.new_zeros(each.shape[1]) for each in queries] if query_bias is None else query_bias
        both = [torch.cat([w, b.unsqueeze(0)]).double() for w, b in zip(queries, biases, strict=True)]
        theirs = [each.double() for each in keys]
        if isinstance(self.w_k, Pivoted):
            made = [rebased(each, f"the keys of head {head}") for head, each in enumerate(theirs)]
            both = [each @ turn.T for each, (_, _, turn) in zip(both, made, strict=True)]
            self.w_k.take(torch.cat([pivots for pivots, _, _ in made]), torch.cat([v for _, v, _ in made], dim=1))
        else:
            write_map(self.w_k, torch.cat(theirs, dim=1))
        joined = torch.cat(both, dim=1)
        write_map(self.w_q, joined[:-1], joined[-1])

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"], side: Side = "both") -> None:
        """Into either; what `shift` makes of the keys is the same for all of a query."""
        (weight, bias), keys = read_map(self.w_q), read_map(self.w_k).weight
        if side != "keys":
            weight, bias = product @ weight, bias + shift @ weight
        if side != "queries":
            keys = product @ keys
        self.set_factors(weight.split(self.ranks, dim=1), bias.split(self.ranks), keys.split(self.ranks, dim=1))

    def _fit(self, given: Projections) -> None:
        asked = torch.cat([self.by_head(given.queries.weight), head_bias(given, self.heads)], dim=1)
        if not self.biased:
            asked[:, -1] = 0
        queries, keys = list(asked), list(self.by_head(given.keys.weight))
        for head, rank in enumerate(self.ranks):
            if rank < self.head_dim:
                queries[head], turned = best_factors(queries[head], keys[head].T, rank)
                keys[head] = turned.T
        self.set_factors([each[:-1] for each in queries], [each[-1] for each in queries], keys)
