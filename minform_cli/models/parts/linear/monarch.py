"""Two block-diagonal factors with a permutation between them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.block_factors import BlockFactors
from minform_cli.config.form import Stored
from minform_cli.models.parts.linear.base import LINEARS, StoredMap
from minform_cli.models.parts.linear.low_rank import nearest


@LINEARS.register("monarch")
class MonarchMap(StoredMap):
    """x W + b with W = L P R, L and R block-diagonal of b blocks each. L -> `left`, R -> `right`, b -> `bias`.

    The permutation P gives every block of R as much of every block of L: seen as b x b blocks of (I / b) x (O / b), W
    has in each the product of (I / b) x q and q x (O / b). `left` is (b, I / b, b q), `right` (b, b q, O / b).
    Numbers: b q (I + O), 2 N^2 / b where I = O = N and q = N / b^2; and O of a bias.
    Initial scale: every number of W has the variance `std`^2, as in the dense map.
    Source: Dao et al. 2022, Monarch, arXiv 2204.00595, section 3 and theorem 1.

    Args:
        stored: its shape, block-diagonal factors.
        bias: whether b exists.
        std: of the numbers of W.
    """

    exact_where = "no block of the matrix has a higher rank than the factors"
    no_source = ""

    def __init__(self, stored: Stored, *, bias: bool, std: float) -> None:
        super().__init__()
        assert isinstance(stored, BlockFactors)
        self.blocks, self.rank = blocks, rank = stored.blocks, stored.rank
        self.left = nn.Parameter(torch.empty(blocks, stored.dim_in // blocks, blocks * rank))
        self.right = nn.Parameter(torch.empty(blocks, blocks * rank, stored.dim_out // blocks))
        for factor in (self.left, self.right):
            nn.init.normal_(factor, std=math.sqrt(std) / rank**0.25)
        self.bias = nn.Parameter(torch.zeros(stored.dim_out)) if bias else None

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t m"]:
        """Each token by itself."""
        tokens = x.flatten(0, 1).unflatten(1, (self.blocks, -1)).transpose(0, 1)  # (blocks of L, tokens, I / b)
        middle = torch.bmm(tokens, self.left).unflatten(2, (self.blocks, self.rank))  # (of L, tokens, of R, q)
        turned = middle.permute(2, 1, 0, 3).flatten(2)  # (of R, tokens, of L x q)
        out = torch.bmm(turned, self.right).transpose(0, 1).reshape(*x.shape[:2], -1)
        return out if self.bias is None else out + self.bias

    def matrix(self) -> Float[Tensor, "n m"]:
        """W."""
        left = self.left.unflatten(2, (self.blocks, self.rank))  # (of L, I / b, of R, q)
        right = self.right.unflatten(1, (self.blocks, self.rank))  # (of R, of L, q, O / b)
        return torch.einsum("kirq,rkqo->kiro", left, right).flatten(2).flatten(0, 1)

    @torch.no_grad()
    def from_matrix(self, weight: Float[Tensor, "n m"]) -> None:
        """Makes every block of W the nearest of its rank to that of `weight`; nothing of the kind is nearer in all.

        With `moment` each block is nearest in what it adds to the outputs, as if the others were exact: that is not the
        least of all of them together. Directions beyond the rank of a block are zeros.
        """
        whole = weight.detach().double()
        height, width = self.left.shape[1], self.right.shape[2]
        self.left.zero_()
        self.right.zero_()
        for k in range(self.blocks):
            rows = slice(k * height, (k + 1) * height)
            moment = None if self.moment is None else self.moment[rows, rows]
            for r in range(self.blocks):
                left, right = nearest(whole[rows, r * width : (r + 1) * width], self.rank, moment)
                places = slice(r * self.rank, r * self.rank + left.shape[1])
                self.left[k, :, places] = left.to(self.left)
                self.right[r, k * self.rank : k * self.rank + left.shape[1]] = right.to(self.right)
