"""Maps of low rank, by themselves or beside a matrix in every run of a shared block."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.form import Stored
from minform_cli.config.matrix_rank import Adapted, Factors
from minform_cli.models.parts.base import PerRun
from minform_cli.models.parts.linear.base import LINEARS, StoredMap


@LINEARS.register("low-rank")
class LowRankMap(StoredMap):
    """x W + b with W = A B. A (I x r) -> `a`, B (r x O) -> `b`, both transposed, as torch keeps maps; b -> `bias`.

    Numbers: r (I + O), and O of a bias.
    Initial scale: every number of W has the variance `std`^2, as in the dense map.
    Source: Sainath et al. 2013, Low-rank matrix factorization for deep neural network training, ICASSP.

    Args:
        stored: its shape, two factors.
        bias: whether b exists.
        std: of the numbers of W.
    """

    exact_where = "the rank of the matrix is r at most"
    no_source = ""

    def __init__(self, stored: Stored, *, bias: bool, std: float) -> None:
        super().__init__()
        assert isinstance(stored, Factors)
        each = math.sqrt(std) / stored.rank**0.25
        self.a = nn.Parameter(torch.empty(stored.rank, stored.dim_in))
        self.b = nn.Parameter(torch.empty(stored.dim_out, stored.rank))
        for factor in (self.a, self.b):
            nn.init.normal_(factor, std=each)
        self.bias = nn.Parameter(torch.zeros(stored.dim_out)) if bias else None

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t m"]:
        """Each token by itself."""
        return F.linear(F.linear(x, self.a), self.b, self.bias)

    def matrix(self) -> Float[Tensor, "n m"]:
        """W."""
        return (self.b @ self.a).T

    @torch.no_grad()
    def from_matrix(self, weight: Float[Tensor, "n m"]) -> None:
        """Makes W the nearest of the rank to `weight`, by `moment` where there is one; both factors as large.

        Directions beyond the rank of `weight` are zeros.
        """
        left, right = nearest(weight.detach().double(), len(self.a), self.moment)
        self.a.zero_()
        self.b.zero_()
        self.a[: left.shape[1]] = left.T.to(self.a)
        self.b[:, : left.shape[1]] = right.T.to(self.b)


class AdaptedMap(PerRun, StoredMap):
    """x (W + A_k B_k) + b in run k of its block. W -> `weight`, A (k x I x r) -> `a`, B (k x r x O) -> `b`.

    All are transposed, as torch keeps maps; b -> `bias`. Numbers: I O + k r (I + O), and O of a bias.
    Initial scale: every number of W + A_k B_k has the variance `std`^2, of which A_k B_k has a hundredth.
    Source: Bae et al. 2024, Relaxed Recursive Transformers, arXiv 2410.20672.

    Args:
        stored: its shape, a matrix with additions.
        bias: whether b exists.
        std: of the numbers of W.

    Attributes:
        adapts: whether weights that are given to it are those of run k alone: what W is not of them goes into A_k B_k.
    """

    exact_where = "in every run of the block the matrix is the same, or differs from the mean by the rank at most"
    no_source = ""

    def __init__(self, stored: Stored, *, bias: bool, std: float) -> None:
        super().__init__()
        assert isinstance(stored, Adapted)
        self.adapts = False
        self.weight = nn.Parameter(torch.empty(stored.dim_out, stored.dim_in))
        self.a = nn.Parameter(torch.empty(stored.runs, stored.rank, stored.dim_in))
        self.b = nn.Parameter(torch.empty(stored.runs, stored.dim_out, stored.rank))
        nn.init.normal_(self.weight, std=math.sqrt(0.99) * std)
        for factor in (self.a, self.b):
            nn.init.normal_(factor, std=math.sqrt(0.1 * std) / stored.rank**0.25)
        self.bias = nn.Parameter(torch.zeros(stored.dim_out)) if bias else None

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t m"]:
        """Each token by itself."""
        return F.linear(x, self.weight, self.bias) + F.linear(F.linear(x, self.a[self.run]), self.b[self.run])

    def matrix(self) -> Float[Tensor, "n m"]:
        """W + A_k B_k."""
        return (self.weight + self.b[self.run] @ self.a[self.run]).T

    @torch.no_grad()
    def from_matrix(self, weight: Float[Tensor, "n m"]) -> None:
        """Makes W `weight` in every run; or, where it `adapts`, A_k B_k the nearest to what W is not, by `moment`."""
        if not self.adapts:
            self.weight.copy_(weight.T)
            self.b.zero_()
            return
        moment = self.moment if self.moment is None or self.moment.ndim == 2 else self.moment[self.run]
        left, right = nearest(weight.double() - self.weight.T.double(), self.a.shape[1], moment)
        rank = left.shape[1]
        self.b[self.run].zero_()
        self.a[self.run, :rank] = left.T.to(self.a)
        self.b[self.run, :, :rank] = right.T.to(self.b)


LINEARS.register("lora")(AdaptedMap)


LEAST_READ = 1e-10
"""Of the largest eigenvalue of a second moment: directions that are read less are taken to be read as much as that."""


def nearest(
    weight: Float[Tensor, "n m"], rank: int, moment: Float[Tensor, "n n"] | None = None
) -> tuple[Float[Tensor, "n r"], Float[Tensor, "r m"]]:
    """The factors A and B of that rank, or of the full one, whose product is nearest to `weight`, float64.

    With R = `moment` the squared error is that of the outputs, tr (W - A B)^T R (W - A B): with R = S S^T and
    U D V = svd(S^T W), A = S^-T U_r D_r^1/2 and B = D_r^1/2 V_r; what is lost are the squares of the D left out.
    S comes from eigenvectors, so that R may be singular. Without R it is the identity (Eckart and Young).
    """
    if moment is None:
        u, s, v = torch.linalg.svd(weight.double(), full_matrices=False)
    else:
        sizes, directions = torch.linalg.eigh(moment.double())
        root = sizes.clamp_min(LEAST_READ * float(sizes[-1].clamp_min(1e-300))).sqrt()
        u, s, v = torch.linalg.svd(root.unsqueeze(1) * (directions.T @ weight.double()), full_matrices=False)
        u = directions @ (u / root.unsqueeze(1))
    half = s[:rank].sqrt()
    return u[:, :rank] * half, half.unsqueeze(1) * v[:rank]
