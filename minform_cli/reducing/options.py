"""What `reduce` is asked to do, as one value that is made once and handed down. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minform_cli.errors import InputError
from minform_cli.reducing.asked import check_parts, parse_budget, portable

_SEPARATOR = re.compile(r",(?!(?<=\d,)\d{3}(?!\d|%))")
"""``12,000,000`` is one number, ``50%,25%`` are two, and so are ``50%,100%``."""


@dataclass(frozen=True, kw_only=True)
class ReduceOptions:
    """How a run is reduced: exactly, to a budget, or to a known variant; one of the three.

    Attributes:
        exact: whether everything goes whose absence no output shows, and nothing else.
        budgets: how much stays, each ``50%`` of the parameters of the blocks, or a number of parameters of the whole
            model (``12M``, ``1,500,000``); several make a curve.
        only: which kinds of parts may be made smaller; none: all.
        variant: a variant that is forced on the weights by the best approximation.
        calibrate: a data set ``NAME`` or ``NAME:PATH``, a text file or a folder of images; None: the run's own data.
        measure: likewise, what the result is measured on; None: the run's own data where they are, else `calibrate`.
        settings: ``data.key=value`` texts: where the run's data have moved, or more of what is calibrated on.
        examples: of the calibration; None: 384, or all where there are fewer.
        repeats: calibration samples; the result is that of the first, and the interval that of all.
        data_free: do without data.
        segments: sentences of an example, where that is known to be one; for `exact`.
        heal: steps of training that follow, in which the original is followed; None: none.
        labels: whether the task's labels count in them, too.
        seed: of the calibration sample and of healing.
        weights: file of weights, for a source that needs one.
        resume: go on with a healing that was stopped.
        threads: CPU threads; None leaves torch's choice.

    Raises:
        InputError: they contradict each other.
    """

    exact: bool = False
    budgets: Sequence[str] = ()
    only: Sequence[str] = ()
    variant: str | None = None
    calibrate: str | None = None
    measure: str | None = None
    settings: Sequence[str] = ()
    examples: int | None = None
    repeats: int = 1
    data_free: bool = False
    segments: int | None = None
    heal: int | None = None
    labels: bool = False
    seed: int = 0
    weights: Path | str | None = None
    resume: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        asked = [name for name, value in self._ways().items() if value]
        if not asked:
            raise InputError("reduce: nothing says how much; accepted: --budget 50%, --exact, or --variant NAME")
        if len(asked) > 1:
            raise InputError(f"{asked[0]} and {asked[1]}: a run is reduced in one way; accepted: one of them")
        for budget in self.budgets:
            parse_budget(budget)
        if len({portable(budget) for budget in self.budgets}) < len(self.budgets):
            raise InputError(f"--budget {','.join(self.budgets)}: one stands there twice")
        check_parts(self.only)
        self._check_numbers()
        self._check_pairs()

    def _ways(self) -> dict[str, object]:
        return {"--exact": self.exact, "--budget": self.budgets, "--variant": self.variant}

    def _check_numbers(self) -> None:
        least = {"--examples": self.examples, "--repeats": self.repeats, "--heal": self.heal}
        for option, number in least.items():
            if number is not None and number < 1:
                raise InputError(f"{option}: expected 1 or more, not {number}")
        if self.segments not in (None, 1):
            raise InputError(f"--segments: expected 1, not {self.segments}: two sentences need both of their types")
        if self.seed < 0:
            raise InputError(f"--seed: expected 0 or more, not {self.seed}")

    def _check_pairs(self) -> None:
        if self.only and not self.budgets:
            raise InputError("--only: says what a budget takes from; accepted: with --budget")
        if self.segments is not None and not self.exact:
            raise InputError("--segments: is for --exact")
        if self.labels and self.heal is None:
            raise InputError("--labels: are for healing; accepted: with --heal STEPS")
        if self.resume and self.heal is None:
            raise InputError("--resume: goes on with a healing; accepted: with --heal STEPS")
        if self.heal is not None and len(self.budgets) > 1:
            raise InputError("--heal: heals one run, and several budgets make several; accepted: one --budget")
        if self.data_free:
            given = {"--calibrate": self.calibrate, "--examples": self.examples, "--heal": self.heal}
            for option, value in given.items():
                if value is not None:
                    raise InputError(f"{option} and --data-free: with data or without; accepted: one of them")
            if self.repeats > 1:
                raise InputError("--repeats and --data-free: without data there are no samples; accepted: one of them")
        if self.repeats > 1 and self.exact:
            raise InputError("--repeats and --exact: nothing is calibrated; accepted: one of them")


def split_values(text: str, option: str) -> list[str]:
    """The values of a list that is separated by commas; between a digit and three of them a comma is none of these.

    Raises:
        InputError: a value is empty.
    """
    values = [value.strip() for value in _SEPARATOR.split(text)]
    if not all(values):
        raise InputError(f"{option} {text!r}: a value is missing beside a comma")
    return values
