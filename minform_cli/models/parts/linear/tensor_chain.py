"""Chains of small cores whose product is the matrix; one of rank 1 is a Kronecker product."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.form import Stored
from minform_cli.config.tensor_chain import Chain, Plan
from minform_cli.models.parts.linear.base import LINEARS, StoredMap

FITTED = 50
"""Rounds in which the cores of a tensor chain are fitted to what its map reads."""


@LINEARS.register("tensor-chain")
class TensorChain(StoredMap):
    """x W + b with W = the sum over ranks of the cores' Kronecker products. Cores -> `cores`, b -> `bias`.

    Numbers: i_1 r o_1 + i_n r o_n, i_k r^2 o_k for every core between, and O of a bias.
    Initial scale: every number of W has the variance `std`^2, as in the dense map.
    Source: Anthe, arXiv 2305.10991.

    Args:
        stored: its shape, a chain.
        bias: whether b exists.
        std: of the numbers of W.

    Attributes:
        plan: in which order tokens are multiplied with the cores; `plan_for` chooses it.
    """

    exact_where = "the matrix is that of a chain of the rank"
    no_source = ""

    def __init__(self, stored: Stored, *, bias: bool, std: float) -> None:
        super().__init__()
        assert isinstance(stored, Chain)
        self.chain = chain = stored
        self.plan: Plan = "matrix"
        each = (std**2 / chain.rank ** (len(chain.ins) - 1)) ** (0.5 / len(chain.ins))
        # (i, left rank, right rank, o); the ends have no rank outwards, kept as 1, which changes no number.
        self.cores = nn.ParameterList(nn.Parameter(torch.empty(shape)) for shape in chain.cores)
        for core in self.cores:
            nn.init.normal_(core, std=each)
        self.bias = nn.Parameter(torch.zeros(math.prod(chain.outs))) if bias else None

    def plan_for(self, tokens: int) -> None:
        """Fixes the order that costs the fewest multiplications for so many tokens at once."""
        self.plan = self.chain.cheapest(tokens)

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t m"]:
        """Each token by itself."""
        flat = x.flatten(0, 1)
        if self.plan == "matrix":
            out = flat @ self.matrix()
        elif self.plan == "first":
            out = self._from_the_first(flat)
        else:
            out = self._from_the_last(flat)
        out = out.view(*x.shape[:2], -1)
        return out if self.bias is None else out + self.bias

    def matrix(self) -> Float[Tensor, "n m"]:
        """W, core after core."""
        made: Tensor = self.cores[0].squeeze(1).transpose(1, 2).contiguous()  # (I, O, r)
        for core in list(self.cores)[1:]:
            i, before, after, o = core.shape
            joined = made @ core.transpose(0, 1).reshape(before, i * after * o)
            made = joined.unflatten(2, (i, after, o)).permute(0, 2, 1, 4, 3).flatten(2, 3).flatten(0, 1)
        return made.squeeze(2)

    @torch.no_grad()
    def from_matrix(self, weight: Float[Tensor, "n m"]) -> None:
        """Makes W as near to `weight` as the rank allows: exact at full rank, else its truncated tensor-train SVD.

        For two cores nothing of that rank is nearer in the mean square; for n, the error is at most sqrt(n - 1) times
        the least. Ranks beyond the full one are zeros. Source: Oseledets 2011, Tensor-Train Decomposition, theorem 2.2.
        With `moment` the cores go on from there to where the outputs differ less; to a stationary point, not the least.
        """
        chain = self.chain
        length = len(chain.ins)
        paired = [axis for k in range(length) for axis in (k, length + k)]
        left_over = weight.detach().double().reshape(*chain.ins, *chain.outs).permute(paired).reshape(1, -1)
        found: list[Tensor] = []
        for i, o in zip(chain.ins[:-1], chain.outs[:-1], strict=True):
            before = left_over.shape[0]
            u, s, v = torch.linalg.svd(left_over.reshape(before * i * o, -1), full_matrices=False)
            found.append(u[:, : chain.rank].reshape(before, i, o, -1))
            left_over = (s.unsqueeze(1) * v)[: chain.rank]
        found.append(left_over.reshape(left_over.shape[0], chain.ins[-1], chain.outs[-1], 1))
        norms = [float(core.norm()) or 1.0 for core in found]
        each = math.prod(norms) ** (1 / length)  # all cores as large, as they start: none learns faster than the others
        for core, made, norm in zip(self.cores, found, norms, strict=True):
            core.zero_()
            core[:, : made.shape[0], : made.shape[3]] = made.permute(1, 0, 3, 2) * (each / norm)
        if self.moment is not None:
            self._fit(weight.detach().double(), self.moment)

    def _fit(self, weight: Float[Tensor, "n m"], moment: Float[Tensor, "n n"]) -> None:
        """Goes down tr (W - C)^T R (W - C), R = `moment`, by L-BFGS over the cores C is made of, in float64."""
        twin = deepcopy(self).double()
        scale = float((weight * (moment @ weight)).sum())
        if not scale > 0:
            return
        optimizer = torch.optim.LBFGS(twin.cores.parameters(), max_iter=FITTED, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            far = weight - twin.matrix()
            lost = (far * (moment @ far)).sum() / scale
            lost.backward()
            return lost

        with torch.enable_grad():
            before = float(loss().detach())
            optimizer.step(loss)
            if not float(loss().detach()) < before:
                return
        for core, made in zip(self.cores, twin.cores, strict=True):
            core.copy_(made)

    def _from_the_first(self, x: Float[Tensor, "p n"]) -> Float[Tensor, "p m"]:
        """What is done stands before the rank, what is left of the input behind it."""
        state = x.unflatten(1, (1, 1, -1))  # (P, outputs done, rank, inputs left)
        for core in self.cores:
            i, before, after, o = core.shape
            split = state.unflatten(3, (i, -1)).permute(0, 1, 4, 3, 2)  # (P, done, left, i, before)
            made = split.flatten(3, 4).matmul(core.view(i * before, after * o)).unflatten(3, (after, o))
            state = made.permute(0, 1, 4, 3, 2).flatten(1, 2)
        return state.flatten(1)

    def _from_the_last(self, x: Float[Tensor, "p n"]) -> Float[Tensor, "p m"]:
        """What is left of the input stands before the rank, what is done behind it."""
        state = x.unflatten(1, (-1, 1, 1))  # (P, inputs left, rank, outputs done)
        for core in reversed(list(self.cores)):
            i, before, after, o = core.shape
            split = state.unflatten(1, (-1, i)).permute(0, 1, 4, 2, 3)  # (P, left, done, i, after)
            weights = core.transpose(1, 2).reshape(i * after, before * o)
            made = split.flatten(3, 4).matmul(weights).unflatten(3, (before, o))
            state = made.permute(0, 1, 3, 4, 2).flatten(3, 4)
        return state.flatten(1)


LINEARS.register("kronecker")(TensorChain)
