"""Low rank: sum_h A_h x W_Vh W_Oh + b, W_Vh of r_h columns and W_Oh of r_h rows, r_h at most d.

Numbers: 2 N R, and N of one live bias, into which b_V and b_O merge (rows of A_h add up to 1); R is the sum of the
ranks. Pivoted: r_h rows of each W_Vh are the identity, which any W_Vh of rank r_h becomes by an exact change of basis
W_Vh T^-1, T W_Oh; then 2 N R - sum of r_h^2. At r_h = d nothing of separate maps is lost; at H = 1 W_VO is left.
A head of rank 0 gives nothing. Heads of fewer columns than others are filled up with zeros when mixed.
Initial scale: the mean variance of W_Vh W_Oh, d / N^2, as of separate maps; as `similarity.low_rank` has it.
Sources: A3 (ICML 2026), output-value of low rank; OpenMachine transformer-tricks, MatShrink (2026), pivots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.ranks import Pivoted as Stored
from minform_cli.config.axes.value import LowRank as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import by_columns, by_rows, has_bias, linear
from minform_cli.models.parts.centred import writer
from minform_cli.models.parts.columns import Columns, Pivoted, best_factors, rebased
from minform_cli.models.parts.linear import Matrix, read_map, write_map
from minform_cli.models.parts.similarity.base import Similarity
from minform_cli.models.parts.similarity.low_rank import start_std
from minform_cli.models.parts.value.base import VALUES, Value, ValueMaps


@VALUES.register("low-rank")
class LowRank(Value):
    """W_V -> `w_v`, N x R, W_O -> `w_o`, R x N: each head's columns (rows) behind those of the one before.

    Out of separate maps: of each head, the factors whose product is nearest to W_Vh W_Oh in the mean square; where a
    head keeps all d columns, they are taken as they are.
    """

    exact_where = "the rank of W_Vh W_Oh is r_h at most; always at r_h = d; pivoted or not"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        options = cast(Options, model.value)
        self.ranks, self.head_dim = options.ranks(model), model.head_dim
        total = sum(self.ranks)
        self.w_v = Pivoted(Stored(self.dim, self.ranks)) if options.pivoted else linear(self.dim, total, bias=False)
        self.w_o = writer(model, None, total, bias=has_bias(model))
        self.columns = Columns(self.ranks)
        heads = list(cast(nn.Linear, self.w_o).weight.split(self.ranks, dim=1))
        heads += [] if options.pivoted else list(cast(nn.Linear, self.w_v).weight.split(self.ranks))
        for weight in heads:
            rank = min(weight.shape)
            if rank:
                nn.init.normal_(weight, std=start_std(self.dim, self.head_dim, rank, pivoted=options.pivoted))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """Projected values."""
        return self.columns.split(self.w_v(y))

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """The heads side by side, through W_O."""
        return self.w_o(self.columns.join(mixed))

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Into W_V and b."""
        values, (weight, bias) = read_map(self.w_v).weight, read_map(self.w_o)
        bias = bias + shift @ values @ weight
        self.set_factors((product @ values).split(self.ranks, dim=1), weight.split(self.ranks), bias)

    def restore(self, source: Value) -> None:
        """Of any ranks, pivoted or not."""
        self._fit(source.maps(None), None)

    def maps(self, similarity: Similarity | None) -> ValueMaps:  # noqa: ARG002
        """Its own, with columns and rows of zeros up to d."""
        values, (weight, bias) = read_map(self.w_v).weight, read_map(self.w_o)
        return ValueMaps(
            Matrix(self.columns.padded(values, self.head_dim), bias.new_zeros(self.inner)),
            Matrix(self.columns.padded(weight.T, self.head_dim).T, bias),
        )

    @torch.no_grad()
    def set_factors(
        self,
        values: Sequence[Float[Tensor, "n _"]],
        outputs: Sequence[Float[Tensor, "_ n"]],
        bias: Float[Tensor, " n"] | None,
    ) -> None:
        """Takes W_Vh and W_Oh of every head and b, whose outputs it then gives; in another basis where it is pivoted.

        Args:
            values: r_h columns of each head.
            outputs: r_h rows of each head.
            bias: what is added to every token, that of the values through W_O included; None: nothing. It is lost
                where this part has none.

        Raises:
            InputError: a pivoted one would lose too much to rounding; nothing has changed.
        """
        ours, theirs = [each.double() for each in values], [each.double() for each in outputs]
        if isinstance(self.w_v, Pivoted):
            made = [rebased(each, f"the values of head {head}") for head, each in enumerate(ours)]
            theirs = [turn @ each for each, (_, _, turn) in zip(theirs, made, strict=True)]
            self.w_v.take(torch.cat([pivots for pivots, _, _ in made]), torch.cat([v for _, v, _ in made], dim=1))
        else:
            write_map(self.w_v, torch.cat(ours, dim=1))
        write_map(self.w_o, torch.cat(theirs), bias)

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:  # noqa: ARG002
        values = list(by_columns(given.values.weight, self.heads))
        outputs = list(by_rows(given.output.weight, self.heads))
        for head, rank in enumerate(self.ranks):
            if rank < self.head_dim:
                values[head], outputs[head] = best_factors(values[head], outputs[head], rank)
        self.set_factors(values, outputs, given.values.bias @ given.output.weight + given.output.bias)
