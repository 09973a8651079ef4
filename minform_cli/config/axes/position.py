"""Axis `position`: how a token knows where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig

POSITION = new_axis("position", "how a token knows where it stands")


class Position(PartOptions, frozen=True):
    """Base of the positions."""

    def most_tokens(self) -> int | None:
        """Tokens of the longest example; None where any length will do."""
        return None


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

    def dead_numbers(self, model: ModelConfig) -> dict[str, int]:  # noqa: D102
        sides = ("embedding", "decoder_embedding") if model.decoder_depth else ("embedding",)
        return {f"{side}.positions.table, first rows": self.unused * model.dim for side in sides if self.unused}

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


@POSITION.part
class NoPosition(Position, frozen=True):
    """Nothing: the model sees a set of tokens."""

    kind: Literal["none"] = "none"
    meaning = "no positions: the model sees a set of tokens"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.5 (left out)"
