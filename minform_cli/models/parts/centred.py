"""Tokens with a mean of zero: what is added to them stores all columns but the last, which is minus their sum.

Numbers: I (N - 1) and N - 1 of a bias for a map from I columns; N - 1 of a vector.
Where every reader normalises, the mean of a token says nothing: LN(x + c) = LN(x) for a number c on all columns. So a
map's mean over its columns may go, and LN of what is left is an RMSNorm.
Source: SliceGPT, arXiv 2401.15024, section 3.2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.norm import centred
from minform_cli.config.form import Role
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.linear import StoredMap, linear_map


def appended(x: Float[Tensor, "... m"]) -> Float[Tensor, "... n"]:
    """`x` and its implied last column."""
    return torch.cat([x, -x.sum(-1, keepdim=True)], dim=-1)


def columns_for(vectors: Float[Tensor, "... n"], width: int) -> Float[Tensor, "... w"]:
    """N-columned `vectors` as `width` columns hold them: as they are, or less their mean and without the last."""
    have = vectors.shape[-1]
    if have == width + 1:
        return (vectors - vectors.mean(-1, keepdim=True))[..., :-1]
    return appended(vectors) if have == width - 1 else vectors


class CentredMap(StoredMap):
    """x W + b, every row of W and b with a mean of zero. All columns but the last -> `weight` (transposed), `bias`.

    Args:
        dim_in: columns of x.
        dim: of the outputs.
        times: how many such maps stand side by side; one for a bias.
        bias: whether b exists.
        std: of the stored numbers of W.
    """

    def __init__(self, dim_in: int, dim: int, *, times: int, bias: bool, std: float) -> None:
        super().__init__()
        assert times == 1 or not bias, "maps side by side have no bias each"
        self.times = times
        self.weight = nn.Parameter(torch.empty(times * (dim - 1), dim_in))
        nn.init.normal_(self.weight, std=std)
        self.bias = nn.Parameter(torch.zeros(dim - 1)) if bias else None

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t m"]:
        """Each token by itself."""
        return self._whole(F.linear(x, self.weight, self.bias))

    def matrix(self) -> Float[Tensor, "n m"]:
        """W."""
        return self._whole(self.weight.T)

    def from_matrix(self, weight: Float[Tensor, "n m"]) -> None:
        """Takes `weight` less the mean of every row, which whoever normalises the outputs does not see."""
        with torch.no_grad():
            apart = weight.unflatten(-1, (self.times, -1))
            self.weight.copy_(columns_for(apart, apart.shape[-1] - 1).flatten(-2).T)

    def whole_bias(self) -> Tensor | None:
        """b, its last number too."""
        return None if self.bias is None else appended(self.bias)

    def set_bias(self, bias: Float[Tensor, " m"]) -> None:
        """Takes `bias` less its mean."""
        if self.bias is not None:
            self.bias.copy_(columns_for(bias, len(self.bias)))

    def _whole(self, x: Tensor) -> Tensor:
        return appended(x) if self.times == 1 else appended(x.unflatten(-1, (self.times, -1))).flatten(-2)


def writer(
    model: ModelConfig, role: Role | None, dim_in: int, *, bias: bool, times: int = 1, std: float | None = None
) -> nn.Module:
    """The map from `dim_in` columns to what is added to the tokens of `model`; arguments as of `linear_map`.

    Args:
        times: how many outputs stand side by side, to be added up.
    """
    if not centred(model):
        return linear_map(model, role, dim_in, times * model.dim, bias=bias, std=std)
    usual = math.sqrt(2 / (dim_in + times * model.dim))
    return CentredMap(dim_in, model.dim, times=times, bias=bias, std=usual if std is None else std)
