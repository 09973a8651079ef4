"""Axis `position`: how a token knows where it stands."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis
from minform_cli.config.form import Form, Weights

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class Position(PartOptions, frozen=True):
    """Base of the positions."""

    @abstractmethod
    def form(self, tokens: int, dim: int) -> Form | None:
        """Of so many tokens whose vectors are so wide; None: no module stands for it."""

    def most_tokens(self) -> int | None:
        """Tokens of the longest example; None where any length will do."""
        return None

    def reached(self) -> Position:
        """The same with those positions alone that the longest example has."""
        return self

    @property
    def learned(self) -> bool:
        """Whether every position has a vector of its own, that anything of all tokens can go into."""
        return False


POSITION = new_axis("position", "how a token knows where it stands", Position)


@POSITION.part
class Learned(Position, frozen=True):
    """One learned vector per position, added to the embedding.

    Attributes:
        rows: of the table; None takes as many as the longest example has tokens.
        unused: rows before that of the first token, which nothing looks up.
    """

    kind: Literal["learned"] = "learned"
    rows: int | None = Field(default=None, ge=1)
    unused: int = Field(default=0, ge=0)
    meaning = "one learned vector per position"
    source = "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1; BERT, arXiv 1810.04805, figure 2"

    def most_tokens(self) -> int | None:  # noqa: D102
        return None if self.rows is None else self.rows - self.unused

    def reached(self) -> Position:  # noqa: D102
        return Learned()

    @property
    def learned(self) -> bool:  # noqa: D102
        return True

    def form(self, tokens: int, dim: int) -> Form | None:  # noqa: D102
        table = Weights(name="table", numbers=(self.rows or tokens + self.unused) * dim)
        dead = {"table, first rows": self.unused * dim} if self.unused else {}
        return Form(module="LearnedPositions", holds=(table,), dead=dead)

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: ARG002, D102
        if self.rows is not None and self.rows <= self.unused:
            return f"model.position has {self.rows} rows and leaves {self.unused} of them unused: none is left"
        return None


@POSITION.part
class Sinusoidal(Position, frozen=True):
    """Fixed sines and cosines of the position, no parameters."""

    kind: Literal["sinusoidal"] = "sinusoidal"
    meaning = "fixed sines and cosines, no parameters"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.5"

    def form(self, tokens: int, dim: int) -> Form | None:  # noqa: ARG002, D102
        return Form(module="SinusoidalPositions")


@POSITION.part
class NoPosition(Position, frozen=True):
    """Nothing: the model sees a set of tokens."""

    kind: Literal["none"] = "none"
    meaning = "no positions: the model sees a set of tokens"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.5 (left out)"

    def form(self, tokens: int, dim: int) -> Form | None:  # noqa: ARG002, D102
        return None
