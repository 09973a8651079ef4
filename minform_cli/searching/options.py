"""What a search is asked to do, as one value that is made once and handed down."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minform_cli.config.names import DEFAULT_PRESET
from minform_cli.config.schema import NUM_SEEDS
from minform_cli.errors import InputError
from minform_cli.study.options import EngineOptions

SEED = 1_000_000
"""Of a search's trials, where nothing else is said: no study that counts its seeds from 0 has it."""

TRIALS = 30

_TIME = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_SECONDS = (86_400, 3_600, 60, 1)


@dataclass(frozen=True, kw_only=True)
class SearchOptions(EngineOptions):
    """What `search` is asked to do.

    Attributes:
        preset: a shipped preset's name or a path to a YAML file.
        budget: parameters that a model may have: ``10%`` of the baseline's, ``500k``, ``30000``.
        axes: ``axis=kind,kind`` texts; none: all axes that shipped variants change, with what those set there.
        sizes: ``section.field=value,value`` texts of `model` and `train`; none: a quarter, half, three quarters and
            all of ``model.dim``, as far as the heads divide it.
        settings: ``section.field=value`` texts, of every trial and of the baseline.
        trials: how many models are trained, all commands together; a later command with more goes on.
        time_s: seconds after which this command begins no more of them; None: no limit.
        seed: of every trial, and of what is tried.
        out: the search's folder; None takes ``runs/search-PRESET``.
        jobs, engine, address, gpus_per_run, device, threads: as for a study.

    Raises:
        InputError: a number makes no sense, or options that exclude each other are given.
    """

    preset: str = DEFAULT_PRESET
    budget: str = "10%"
    axes: Sequence[str] = ()
    sizes: Sequence[str] = ()
    settings: Sequence[str] = ()
    trials: int = TRIALS
    time_s: float | None = None
    seed: int = SEED
    out: Path | str | None = None

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise InputError(f"--trials: expected 1 or more, not {self.trials}")
        if not 0 <= self.seed < NUM_SEEDS:
            raise InputError(f"--seed: expected a whole number from 0 to {NUM_SEEDS - 1}, not {self.seed}")
        self.check_engine()
        if (ray := self.on_ray) is not None:
            ray.check(self.device)


def check_optuna() -> None:
    """Raises `InputError` if Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise InputError("search: optuna is not installed; pip install 'minform[search]' brings it")


def seconds_of(text: str) -> float:
    """``3h``, ``1h30m``, ``90m``, ``2d``, ``45s`` or plain seconds, in seconds.

    Raises:
        InputError: it is none of these, or nothing.
    """
    found = _TIME.fullmatch(text.strip().lower())
    seconds = (
        sum(int(number or 0) * unit for number, unit in zip(found.groups(), _SECONDS, strict=True)) if found else 0
    )
    if not seconds:
        raise InputError(f"--time {text!r}: expected a length of time: 3h, 1h30m, 45m, 90s")
    return float(seconds)
