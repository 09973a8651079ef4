"""Axis `linear`: how the linear maps of attention and MLP are stored."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis
from minform_cli.config.form import Role, Stored
from minform_cli.config.tensor_chain import Chain, balanced, rank

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class Linear(PartOptions, frozen=True):
    """Base of the ways to store a map.

    Class attributes:
        absorbs: whether a scale of what a map reads can go into it, however it is stored.
    """

    absorbs: ClassVar[bool] = False

    @abstractmethod
    def form(self, role: Role, dim_in: int, dim_out: int) -> Stored | None:
        """How a map of that role and those widths is stored; None: as one matrix."""


LINEAR = new_axis("linear", "how the linear maps of attention and MLP are stored", Linear, per_block=True)


@LINEAR.part
class Dense(Linear, frozen=True):
    """One matrix, the standard."""

    kind: Literal["dense"] = "dense"
    meaning = "one matrix each"
    absorbs = True
    source = "Attention Is All You Need, arXiv 1706.03762, sections 3.2 and 3.3"

    def form(self, role: Role, dim_in: int, dim_out: int) -> Stored | None:  # noqa: ARG002, D102
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

    def form(self, role: Role, dim_in: int, dim_out: int) -> Chain | None:  # noqa: D102
        ratio = {"qkv": self.qkv, "output": self.output, "mlp": self.mlp}[role]
        if ratio is None:
            return None
        ins, outs = balanced(dim_in, self.length), balanced(dim_out, self.length)
        return Chain(ins, outs, rank(ins, outs, ratio))

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: ARG002, D102
        if self.qkv is None and self.output is None and self.mlp is None:
            return "model.linear 'tensor-chain' has no ratio for any role, so every map is dense; accepted: dense"
        return None
