"""How a token knows where it stands: a table of vectors added to the embedding, or nothing.

Numbers: `learned` R N for a table of R rows (by default one a token, the class token included), `sinusoidal` and `none`
nothing.
Sources: arXiv 2010.11929, section 3.1; arXiv 1706.03762, section 3.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.norm import centred
from minform_cli.config.axes.position import Learned
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Absent, Convertible
from minform_cli.models.parts.centred import columns_for
from minform_cli.registry import Registry

POSITIONS: Registry[Callable[[ModelConfig, int, int], nn.Module | None]] = Registry("position")
"""From a model, the tokens of its longest example and the width of a vector to a module that adds positions."""


class LearnedPositions(Convertible, nn.Module):
    """One learned vector per position, started from N(0, 0.02^2); rows before the first position stay unused."""

    exact_where = "no example has more tokens than both tables have rows for"

    def __init__(self, model: ModelConfig, tokens: int, dim: int) -> None:
        super().__init__()
        options = cast(Learned, model.position)
        self.first = options.unused
        self.table = nn.Parameter(torch.empty(options.rows or tokens + self.first, dim))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x: Float[Tensor, "b t n"], first: int = 0) -> Float[Tensor, "b t n"]:
        """Tokens plus their positions, that of the first token being `first`."""
        start = self.first + first
        return x + self.table[start : start + x.shape[1]]

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:
        if not isinstance(source, LearnedPositions) or source.table.shape[1] - self.table.shape[1] not in (0, 1):
            super()._take(source, beside)
            return
        self.take_rows(source)

    @torch.no_grad()
    def take_rows(self, source: LearnedPositions, at: int = 0, begin: int = 0, rows: int | None = None) -> None:
        """Takes over the vectors of as many positions as both know.

        Args:
            source: whose they are.
            at: the first position that takes one.
            begin: the position of `source` that gives it.
            rows: how many positions at most; None: all.
        """
        own, theirs = self.first + at, source.first + begin
        known = min(len(source.table) - theirs, len(self.table) - own)
        rows = known if rows is None else min(rows, known)
        self.table[own : own + rows] = columns_for(source.table[theirs : theirs + rows], self.table.shape[1])


POSITIONS.register("learned")(LearnedPositions)


@POSITIONS.register("sinusoidal")
class SinusoidalPositions(Convertible, nn.Module):
    """sin(t / 10000^(2i/N)) in the first half of the columns, cos in the second; a constant, not a parameter."""

    no_source = "its vectors are constants"

    def __init__(self, model: ModelConfig, tokens: int, dim: int) -> None:
        super().__init__()
        whole = dim + 1 if centred(model) else dim
        half = (whole + 1) // 2
        frequencies = torch.exp(torch.arange(half) * (-math.log(10_000) / max(half, 1)))
        angles = torch.arange(tokens).unsqueeze(1) * frequencies
        self.table: Tensor
        self.register_buffer("table", torch.cat([angles.sin(), angles.cos()], dim=1)[:, :whole], persistent=False)

    def forward(self, x: Float[Tensor, "b t n"], first: int = 0) -> Float[Tensor, "b t n"]:
        """Tokens plus their positions, that of the first token being `first`."""
        return x + columns_for(self.table[first : first + x.shape[1]], x.shape[2])


POSITIONS.register("none")(Absent("every vector of the table was zero"))
