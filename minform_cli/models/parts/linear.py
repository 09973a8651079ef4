"""How a linear map is stored: as one matrix, or as a tensor chain.

Every linear map of attention and MLP is made by `linear_map`; what else is linear (patches, pooler, heads) stays dense.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.linear import Linear, Role
from minform_cli.config.schema import ModelConfig
from minform_cli.config.tensor_chain import Chain, Plan
from minform_cli.models.parts.base import linear


def linear_map(
    model: ModelConfig, role: Role, dim_in: int, dim_out: int, *, bias: bool, std: float | None = None
) -> nn.Module:
    """The map x W + b of the given role, as the model's axis `linear` stores it; arguments as of `base.linear`."""
    chain = cast(Linear, model.linear).chain(role, dim_in, dim_out)
    if chain is None:
        return linear(dim_in, dim_out, bias=bias, std=std)
    return TensorChain(chain, bias=bias, std=std if std is not None else math.sqrt(2 / (dim_in + dim_out)))


class TensorChain(nn.Module):
    """x W + b with W = the sum over ranks of the cores' Kronecker products. Cores -> `cores`, b -> `bias`.

    Numbers: i_1 r o_1 + i_n r o_n, i_k r^2 o_k for every core between, and O of a bias.
    Initial scale: every number of W has the variance `std`^2, as in the dense map.
    Source: Anthe, arXiv 2305.10991.

    Args:
        chain: its shape.
        bias: whether b exists.
        std: of the numbers of W.

    Attributes:
        plan: in which order tokens are multiplied with the cores; `plan_for` chooses it.
    """

    def __init__(self, chain: Chain, *, bias: bool, std: float) -> None:
        super().__init__()
        self.chain = chain
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


def plan_chains(module: nn.Module, tokens: int) -> None:
    """Fixes how every tensor chain in `module` is multiplied, for a batch of so many tokens."""
    for part in module.modules():
        if isinstance(part, TensorChain):
            part.plan_for(tokens)
