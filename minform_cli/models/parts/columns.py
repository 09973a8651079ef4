"""Columns of heads that may have fewer or more of them than others, and maps to them that store no identity.

Letters: r_h columns of head h, R the sum of them, E the most of any head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from minform_cli.config.axes.ranks import Pivoted as Options
from minform_cli.errors import InputError
from minform_cli.models.parts.base import join_heads, split_heads
from minform_cli.models.parts.built import Built
from minform_cli.models.parts.linear import StoredMap

MOST_CONDITION = 1e4
"""Of the rows that become an identity: beyond it the other numbers would grow, and with them the rounding."""


class Columns(nn.Module):
    """Between the columns of all heads side by side, (B, T, R), and by head, (B, H, T, E), zeros behind the fewer ones.

    It holds no numbers.
    """

    def __init__(self, ranks: Sequence[int]) -> None:
        super().__init__()
        self.ranks, self.widest = tuple(ranks), max(ranks)
        self.alike = len(set(ranks)) == 1
        total = sum(ranks)
        taken = [[column for column in range(self.widest) if column < rank] for rank in ranks]
        places = [head * self.widest + column for head, columns in enumerate(taken) for column in columns]
        sources = [total] * (len(ranks) * self.widest)  # the zero that is put behind all columns
        for source, place in enumerate(places):
            sources[place] = source
        self.places: Tensor  # where each of the R columns stands among the H E
        self.sources: Tensor  # which of the R columns, or the zero, stands at each of the H E
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.register_buffer("sources", torch.tensor(sources), persistent=False)

    def split(self, x: Float[Tensor, "b t r"]) -> Float[Tensor, "b h t e"]:
        """By head."""
        wide = x if self.alike else F.pad(x, (0, 1)).index_select(2, self.sources)
        return split_heads(wide, len(self.ranks))

    def join(self, mixed: Float[Tensor, "b h t e"]) -> Float[Tensor, "b t r"]:
        """Side by side."""
        wide = join_heads(mixed)
        return wide if self.alike else wide.index_select(2, self.places)

    def padded(self, weight: Float[Tensor, "m r"], width: int) -> Float[Tensor, "m w"]:
        """Every head with `width` columns, zeros behind its own."""
        heads = weight.split(self.ranks, dim=1)
        return torch.cat([F.pad(head, (0, width - head.shape[1])) for head in heads], dim=1)


class Pivoted(Built, StoredMap):
    """x W, W the N x r_h columns W_h of all heads side by side; the rows `pivots` of each W_h are the identity.

    The other rows -> `free`, column after column; it is one row, since weight decay is for matrices. None where there
    are none. `pivots` (R,) are saved with the weights and are no parameters: row of the one in each column.
    Numbers: the sum of r_h (N - r_h).
    Initial values: every head's pivots are rows from its own share of them on; free numbers have the variance 1 / N.
    """

    def __init__(self, stored: Options) -> None:
        super().__init__()
        self.dim, self.ranks, self.bias = stored.dim, stored.ranks, None
        starts = [head * self.dim // len(self.ranks) for head in range(len(self.ranks))]
        first = [
            (start + column) % self.dim
            for start, rank in zip(starts, self.ranks, strict=True)
            for column in range(rank)
        ]
        owners = [head for head, rank in enumerate(self.ranks) for _ in range(rank)]
        self.pivots: Tensor
        self.owners: Tensor  # head of each column
        self.register_buffer("pivots", torch.tensor(first))
        self.register_buffer("owners", torch.tensor(owners), persistent=False)
        self.free = nn.Parameter(torch.empty(1, stored.numbers)) if stored.numbers else None
        if self.free is not None:
            nn.init.normal_(self.free, std=self.dim**-0.5)

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t r"]:
        """Every token through the whole matrix; where that is the identity, its columns."""
        return x.index_select(2, self.pivots) if self.free is None else F.linear(x, self.built())

    def build(self) -> Float[Tensor, "r n"]:
        """W, transposed."""
        columns, dtype = len(self.owners), torch.get_default_dtype() if self.free is None else self.free.dtype
        nothing = self.owners.new_zeros(columns, self.dim, dtype=dtype)
        identity = nothing.scatter(1, self.pivots.unsqueeze(1), 1.0)
        if self.free is None:
            return identity
        stored = self._stored()
        # The number of free ones before each place is the place of the one there.
        before = stored.flatten().cumsum(0).sub(1).clamp(min=0)
        return torch.where(stored, self.free[0][before].view_as(identity), identity)

    def matrix(self) -> Float[Tensor, "n r"]:
        """W."""
        return self.build().T

    @torch.no_grad()
    def from_matrix(self, weight: Float[Tensor, "n r"]) -> None:
        """Takes the rows beside the pivots; those of the pivots are the identity, or get lost."""
        if self.free is not None:
            self.free.copy_(weight.T[self._stored()].unsqueeze(0))

    @torch.no_grad()
    def take(self, pivots: Int[Tensor, " r"], weight: Float[Tensor, "n r"]) -> None:
        """Becomes `weight`, whose rows `pivots` are the identity, head by head."""
        self.pivots.copy_(pivots)
        self.from_matrix(weight)

    def _stored(self) -> Tensor:
        """Whether the number at a place is stored, (R, N)."""
        heads = self.owners.new_ones(len(self.ranks) * self.dim)
        return heads.scatter(0, self.owners * self.dim + self.pivots, 0).view(-1, self.dim)[self.owners] > 0


def pivot_rows(columns: Float[Tensor, "n r"]) -> Int[Tensor, " r"]:
    """The r rows that are furthest from each other: a QR decomposition of the transpose that takes, column by column,
    what is longest of all that is left. In ascending order.
    """
    left, found = columns.clone(), []
    for _ in range(columns.shape[1]):
        row = int(left.square().sum(1).argmax())
        direction = left[row] / left[row].norm()
        left -= (left @ direction).unsqueeze(1) * direction
        left[row] = 0
        found.append(row)
    return torch.tensor(sorted(found), dtype=torch.long, device=columns.device)


def rebased(
    columns: Float[Tensor, "n r"], what: str
) -> tuple[Int[Tensor, " r"], Float[Tensor, "n r"], Float[Tensor, "r r"]]:
    """`columns` as V T with r rows of V the identity: the rows, V, and T.

    The columns are made orthonormal first, so that how long they are does not matter, nor whether some depend on
    others; what is then left to invert are those rows alone.

    Args:
        columns: in float64.
        what: they are, for the message.

    Raises:
        InputError: the rows are too near to dependent ones.
    """
    basis, turn = torch.linalg.qr(columns)
    pivots = pivot_rows(basis)
    own = basis[pivots]
    condition = float(torch.linalg.cond(own)) if own.isfinite().all() else float("inf")
    if not condition <= MOST_CONDITION:
        raise InputError(
            f"{what}: no rows become an identity without loss, for the condition of the best is {condition:.3g}; "
            f"accepted: {MOST_CONDITION:.0e} or less; pivoted false keeps all numbers"
        )
    whole = torch.linalg.solve(own, basis, left=False)
    whole[pivots] = torch.eye(len(pivots)).to(whole)
    return pivots, whole, own @ turn


def best_factors(
    left: Float[Tensor, "m d"], right: Float[Tensor, "d n"], rank: int
) -> tuple[Float[Tensor, "m r"], Float[Tensor, "r n"]]:
    """The two factors of that rank whose product is nearest to `left` `right`, each as large as the other.

    Eckart and Young: the largest singular values and their vectors. Both factors are reduced to d x d triangles first.
    """
    outer, r_left = torch.linalg.qr(left)
    inner, r_right = torch.linalg.qr(right.T)
    u, s, v = torch.linalg.svd(r_left @ r_right.T)
    root = s[:rank].sqrt()
    return outer @ u[:, :rank] * root, (inner @ v[:rank].T * root).T
