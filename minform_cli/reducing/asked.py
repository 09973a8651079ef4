"""How much of a model is to stay, and what it may be taken from, as the user writes it. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from minform_cli.errors import InputError, unknown_name

Part = Literal["query-key", "value-output", "mlp"]
"""A kind of part that a budget may take from: ranks of queries and keys, of values and outputs, or hidden units."""

PARTS: tuple[Part, ...] = get_args(Part)

STRUCTURES = ("sublayers", "blocks")
"""What may go as a whole: attention or MLP of a block, and both at once."""

CHOICES: tuple[str, ...] = (*PARTS, *STRUCTURES)

_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_NUMBER = re.compile(r"(\d[\d,_]*(?:\.\d+)?)\s*([kKM]?)")


@dataclass(frozen=True)
class Budget:
    """How much stays: a share of the parameters of the blocks, or a number of parameters of the whole model."""

    text: str
    share: float | None
    number: int | None

    def allowed(self, blocks: int, whole: int) -> int:
        """Parameters that the blocks may have, of which they have `blocks` now and the whole model `whole`."""
        if self.share is not None:
            return int(self.share * blocks)
        assert self.number is not None
        return self.number - (whole - blocks)


def parse_budget(text: str) -> Budget:
    """``50%``, ``12,000,000``, ``12M`` or ``300k``.

    Raises:
        InputError: it is none of these, or out of range.
    """
    if (found := _SHARE.fullmatch(text.strip())) is not None:
        share = float(found[1]) / 100
        if not 0 < share <= 1:
            raise InputError(f"--budget {text}: expected more than 0 % and up to 100 %")
        return Budget(text, share, None)
    if (found := _NUMBER.fullmatch(text.strip())) is not None:
        scale = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}[found[2]]
        number = float(re.sub("[,_]", "", found[1])) * scale
        if number >= 1:
            return Budget(text, None, int(number))
    raise InputError(
        f"--budget {text}: is no budget; accepted: a share of the blocks' parameters (50%), or a number of parameters "
        "of the whole model (12,000,000 or 12M)"
    )


def check_parts(only: Sequence[str]) -> None:
    """Raises `InputError` at the first name of `only` that is none of `CHOICES`."""
    for name in only:
        if name not in CHOICES:
            raise unknown_name("part", name, CHOICES, "--only")


def portable(budget: str) -> str:
    """A budget as a folder's name on every system: ``50%`` -> ``50-percent``."""
    return budget.replace("%", "-percent").replace(",", "").replace(" ", "")
