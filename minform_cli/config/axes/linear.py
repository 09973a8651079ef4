"""Axis `linear`: how the linear maps of attention and MLP are stored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast, get_args

from pydantic import Field, PlainValidator, WithJsonSchema

from minform_cli.config.axes.base import (
    WHOLE_OR_SHARE,
    PartOptions,
    Requires,
    is_number_or_share,
    new_axis,
    of_every_run,
)
from minform_cli.config.block_factors import BlockFactors, block_factors
from minform_cli.config.form import Map, Role, Stored
from minform_cli.config.matrix_rank import Adapted, Factors, rank_for
from minform_cli.config.tensor_chain import Chain, balanced, rank

if TYPE_CHECKING:
    from minform_cli.config.axes.mlp import Mlp
    from minform_cli.config.axes.similarity import Similarity
    from minform_cli.config.axes.value import Value
    from minform_cli.config.schema import ModelConfig


class Linear(PartOptions, frozen=True):
    """Base of the ways to store a map.

    Class attributes:
        absorbs: whether a scale of what a map reads can go into it, however it is stored.
        differs: whether a map differs from one run of its block to the next, so that no one matrix says what it does.
    """

    absorbs: ClassVar[bool] = False
    differs: ClassVar[bool] = False

    @abstractmethod
    def form(self, role: Role, dim_in: int, dim_out: int, runs: int = 1) -> Stored | None:
        """How a map of that role and those widths is stored, whose block runs so often; None: as one matrix."""


LINEAR = new_axis("linear", "how the linear maps of attention and MLP are stored", Linear, per_block=True)


@LINEAR.part
class Dense(Linear, frozen=True):
    """One matrix, the standard."""

    kind: Literal["dense"] = "dense"
    meaning = "one matrix each"
    absorbs = True
    source = "Attention Is All You Need, arXiv 1706.03762, sections 3.2 and 3.3"

    def form(self, role: Role, dim_in: int, dim_out: int, runs: int = 1) -> Stored | None:  # noqa: ARG002, D102
        return None


@LINEAR.part
class TensorChain(Linear, frozen=True):
    """A chain of small cores whose product is the matrix; biases stay.

    A ratio is the share of the matrix's numbers that the cores have, about: their rank is a whole number, two at least.
    None leaves maps of that role dense.

    Attributes:
        length: cores of a chain.
        qkv: ratio of the maps to queries, keys, values and their gate.
        output: ratio of the maps that lead out of attention.
        mlp: ratio of the maps of the MLP.
    """

    kind: Literal["tensor-chain"] = "tensor-chain"
    length: int = Field(default=2, ge=2, le=4)
    qkv: float | None = Field(default=0.07, gt=0, le=64)
    output: float | None = Field(default=None, gt=0, le=64)
    mlp: float | None = Field(default=0.005, gt=0, le=64)
    meaning = "a chain of small cores for each matrix, by a ratio for every role"
    source = "Anthe, arXiv 2305.10991 (length 2 and its ratios; length 4 is ours)"

    def form(self, role: Role, dim_in: int, dim_out: int, runs: int = 1) -> Chain | None:  # noqa: ARG002, D102
        ratio = {"qkv": self.qkv, "output": self.output, "mlp": self.mlp}[role]
        if ratio is None:
            return None
        ins, outs = balanced(dim_in, self.length), balanced(dim_out, self.length)
        return Chain(ins, outs, rank(ins, outs, ratio))

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: ARG002, D102
        if self.qkv is None and self.output is None and self.mlp is None:
            return "model.linear 'tensor-chain' has no ratio for any role, so every map is dense; accepted: dense"
        return None


def _read_size(value: object) -> int | float | None:
    """What a user wrote for a role, once it is a rank, a share or nothing."""
    if value is None or is_number_or_share(value):
        return cast("int | float | None", value)
    raise ValueError(f"{value!r}: expected a rank (a whole number from 1 on) or a share of the numbers (below 1)")


def _read_some(value: object) -> int | float:
    """Likewise, but not nothing."""
    found = _read_size(value)
    if found is None:
        raise ValueError("null: expected a rank (a whole number from 1 on) or a share of the numbers (below 1)")
    return found


Size = Annotated[
    int | float | None,
    PlainValidator(_read_size),
    WithJsonSchema({"anyOf": [*WHOLE_OR_SHARE["anyOf"], {"type": "null"}]}),
]
"""A rank; or the share of a matrix's numbers that two factors have at most; or None: one matrix."""


@LINEAR.part
class LowRank(Linear, frozen=True):
    """Two factors A (I x r) and B (r x O) whose product is the matrix; biases stay.

    For every role a rank r, or the share of a matrix's numbers that both factors have at most, r being whole and one at
    least. None leaves maps of that role dense. A rank that saves nothing is refused.

    Attributes:
        qkv: of the maps to queries, keys, values and their gate.
        output: of the maps that lead out of attention.
        mlp: of the maps of the MLP.
    """

    kind: Literal["low-rank"] = "low-rank"
    qkv: Size = None
    output: Size = None
    mlp: Size = None
    meaning = "two factors for each matrix, by a rank or a share of its numbers for every role"
    absorbs = True
    source = "Sainath et al. 2013, Low-rank matrix factorization for deep neural network training, ICASSP"

    def form(self, role: Role, dim_in: int, dim_out: int, runs: int = 1) -> Factors | None:  # noqa: ARG002, D102
        size = {"qkv": self.qkv, "output": self.output, "mlp": self.mlp}[role]
        return None if size is None else Factors(dim_in, dim_out, rank_for(size, dim_in, dim_out))

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        if self.qkv is None and self.output is None and self.mlp is None:
            return (
                "model.linear 'low-rank' has no rank for any role, so every map is dense; accepted: dense, or a rank: "
                "{kind: low-rank, mlp: 0.5}"
            )
        for each in _maps(model):
            stored = None if each.role is None else self.form(each.role, each.dim_in, each.dim_out)
            if stored is not None and stored.numbers >= each.dim_in * each.dim_out > 0:
                most = stored.most
                return (
                    f"model.linear 'low-rank' has rank {stored.rank} for {each.role}, which saves nothing of a "
                    f"{each.dim_in} x {each.dim_out} matrix; accepted: {f'1 to {most}, or ' if most else ''}null, "
                    "which leaves it one matrix"
                )
        return None


class OfSomeRoles(Linear, frozen=True):
    """Base of the ways with a field for each role, which says whether maps of that role are stored so."""

    def has(self, role: Role) -> bool:
        """Whether maps of that role are stored so; the others are dense."""
        return bool(getattr(self, role))

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: ARG002, D102
        if any(map(self.has, get_args(Role))):
            return None
        return f"model.linear {self.kind!r} is for no role, so every map is dense; accepted: dense"


@LINEAR.part
class Lora(OfSomeRoles, frozen=True):
    """One matrix W, and in each run of its block A_k B_k of rank r beside it, with A_k (I x r) and B_k (r x O).

    For blocks that run at several depths: what they share is W, biases and norms. None for a role leaves it W alone.

    Attributes:
        rank: r of every map of a role below; or, below 1, the share of W's numbers that A_k and B_k have at most.
        qkv: whether the maps to queries, keys, values and their gate have it.
        output: whether the maps that lead out of attention do.
        mlp: whether the maps of the MLP do.
    """

    kind: Literal["lora"] = "lora"
    rank: Annotated[int | float, PlainValidator(_read_some), WithJsonSchema(WHOLE_OR_SHARE)] = 0.125
    qkv: bool = True
    output: bool = True
    mlp: bool = True
    meaning = "one matrix each, and for every depth of a shared block an addition of low rank"
    differs = True
    requires: ClassVar[Requires] = {"order": ("shared", "listed")}
    why = "what is added differs from one run of a block to the next"
    source = (
        "Bae et al. 2024, Relaxed Recursive Transformers, arXiv 2410.20672, section 2.3; Hu et al., arXiv 2106.09685"
    )

    def form(self, role: Role, dim_in: int, dim_out: int, runs: int = 1) -> Adapted | None:  # noqa: D102
        return Adapted(dim_in, dim_out, rank_for(self.rank, dim_in, dim_out), runs) if self.has(role) else None

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        runs = of_every_run("model.linear 'lora'", model, "dense, low-rank, tensor-chain", "dense", several=True)
        return super().illegal(model) or runs


@LINEAR.part
class Kronecker(OfSomeRoles, frozen=True):
    """The Kronecker product of two matrices, or the sum of r of them: W = A_1 x B_1 + ... + A_r x B_r; biases stay.

    Both widths are products of two factors as near to each other as they can be, I = i1 i2 and O = o1 o2; the numbers
    are r (i1 o1 + i2 o2).

    Attributes:
        rank: r.
        qkv: whether the maps to queries, keys, values and their gate are stored so.
        output: whether the maps that lead out of attention are.
        mlp: whether the maps of the MLP are.
    """

    kind: Literal["kronecker"] = "kronecker"
    rank: int = Field(default=1, ge=1, le=4096)
    qkv: bool = True
    output: bool = True
    mlp: bool = True
    meaning = "a Kronecker product of two small matrices for each map, or a sum of some"
    source = "arXiv 2406.06248, structured matrices in place of dense ones; rank above 1 ours"

    def form(self, role: Role, dim_in: int, dim_out: int, runs: int = 1) -> Chain | None:  # noqa: ARG002, D102
        return Chain(balanced(dim_in, 2), balanced(dim_out, 2), self.rank) if self.has(role) else None


@LINEAR.part
class Monarch(OfSomeRoles, frozen=True):
    """Two block-diagonal factors with a permutation between them; biases stay.

    A map whose widths the blocks do not divide has as many as do; one that would save no number stays one matrix.

    Attributes:
        blocks: of each factor; a square map of width N that it divides twice has 2 N^2 / blocks numbers.
        qkv: whether the maps to queries, keys, values and their gate are stored so.
        output: whether the maps that lead out of attention are.
        mlp: whether the maps of the MLP are.
    """

    kind: Literal["monarch"] = "monarch"
    blocks: int = Field(default=4, ge=2, le=4096)
    qkv: bool = True
    output: bool = True
    mlp: bool = True
    meaning = "two block-diagonal factors with a permutation between for each map"
    source = "Dao et al. 2022, Monarch, arXiv 2204.00595, section 3"

    def form(self, role: Role, dim_in: int, dim_out: int, runs: int = 1) -> BlockFactors | None:  # noqa: ARG002, D102
        return block_factors(dim_in, dim_out, self.blocks) if self.has(role) else None


def _maps(model: ModelConfig) -> Iterator[Map]:
    """Those of a block that are not stored in a way of their own."""
    forms = (
        cast("Similarity", model.similarity).form(model),
        cast("Value", model.value).form(model),
        cast("Mlp", model.mlp).form(model),
    )
    for form in forms:
        yield from (each for each in (form.holds if form else ()) if isinstance(each, Map) and each.stored is None)
