"""How a linear map is stored: as one matrix, as two factors of low rank, or as a tensor chain.

Every linear map of attention and MLP is made by `linear_map`; what else is linear (patches, pooler, heads) stays dense.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.linear import Linear
from minform_cli.config.form import Role, Stored
from minform_cli.config.matrix_rank import Adapted, Factors
from minform_cli.config.schema import ModelConfig
from minform_cli.config.tensor_chain import Chain, Plan
from minform_cli.models.parts.base import Absent, PerRun, linear
from minform_cli.registry import Registry


class StoredMap(nn.Module):
    """Base of the maps x W + b that are not one matrix; b -> `bias`.

    Attributes:
        moment: sum of x^T x over what the map will read, (n, n): W is then as near as the outputs on it are; None: as
            the numbers of W are. It is not kept with the weights.
    """

    bias: nn.Parameter | None
    moment: Tensor | None = None

    def matrix(self) -> Float[Tensor, "n m"]:
        """W."""
        raise NotImplementedError

    def from_matrix(self, weight: Float[Tensor, "n m"]) -> None:
        """Makes W as near to `weight` as it can; by `moment`, where the part's file says so."""
        raise NotImplementedError

    def whole_bias(self) -> Tensor | None:
        """b; None where there is none."""
        return self.bias

    def set_bias(self, bias: Float[Tensor, " m"]) -> None:
        """Makes b as near to `bias` as it can; it is lost where there is none."""
        if self.bias is not None:
            self.bias.copy_(bias)

    def plan_for(self, tokens: int) -> None:
        """Chooses how it is best computed for so many tokens at once; no number of it changes."""


class BuildsStored(Protocol):
    """Builds the module of a map."""

    def __call__(self, stored: Stored, *, bias: bool, std: float) -> StoredMap:
        """One that is stored as its Form says; `std` is that of the numbers of W."""
        ...


LINEARS: Registry[BuildsStored | Absent] = Registry("linear")
LINEARS.register("dense")(Absent("everywhere: no map is stored otherwise than as its matrix"))


def linear_map(
    model: ModelConfig, role: Role | None, dim_in: int, dim_out: int, *, bias: bool, std: float | None = None
) -> nn.Module:
    """The map x W + b of the given role, as the model's axis `linear` stores it; arguments as of `base.linear`.

    One without a role stays dense.
    """
    stored = None if role is None else cast(Linear, model.linear).form(role, dim_in, dim_out, model.runs)
    if stored is None:
        return linear(dim_in, dim_out, bias=bias, std=std)
    build = LINEARS.get(model.linear.kind)
    assert not isinstance(build, Absent), "what is stored has a module"
    return build(stored, bias=bias, std=std if std is not None else math.sqrt(2 / (dim_in + dim_out)))


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


class Matrix(NamedTuple):
    """A map x W + b as float64 numbers: W (I, O), and b (O,), zeros where there is none."""

    weight: Float[Tensor, "n m"]
    bias: Float[Tensor, " m"]


def read_map(module: nn.Module) -> Matrix:
    """What a map does, however it is stored."""
    stored = isinstance(module, StoredMap)
    weight = (module.matrix() if stored else cast(nn.Linear, module).weight.T).detach().double()
    bias = module.whole_bias() if stored else cast("Tensor | None", module.bias)
    return Matrix(weight, weight.new_zeros(weight.shape[1]) if bias is None else bias.detach().double())


def write_map(module: nn.Module, weight: Float[Tensor, "n m"], bias: Float[Tensor, " m"] | None = None) -> None:
    """Makes a map x W + b: exactly a dense one, as near as their rank allows others; b is lost where it has none."""
    wanted = weight.new_zeros(weight.shape[1]) if bias is None else bias
    with torch.no_grad():
        if isinstance(module, StoredMap):
            module.from_matrix(weight)
            module.set_bias(wanted)
            return
        cast(nn.Linear, module).weight.copy_(weight.T)
        own = cast("Tensor | None", module.bias)
        if own is not None:
            own.copy_(wanted)


def absorbed(module: nn.Module, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
    """Makes a map of x do what it did of x `product` + `shift`."""
    weight, bias = read_map(module)
    write_map(module, product @ weight, bias + shift @ weight)


def plan_chains(module: nn.Module, tokens: int) -> None:
    """Fixes how every map in `module` that is not one matrix is computed, for a batch of so many tokens."""
    for part in module.modules():
        if isinstance(part, StoredMap):
            part.plan_for(tokens)
