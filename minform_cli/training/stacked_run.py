"""Seeds of one run trained as one model (`training.stacked`), each to the end of its own folder.

Every seed has the `Loop` that it has alone, and only the steps of all of them are taken together. So a folder is
written as that of a lone run is, a seed that fails fails as it would alone, and a study that was stopped goes on
stacked or alone: stacked, where seeds stand at the same step.

Seconds in a folder's timings are the seed's share: those of a stacked step over the number of seeds in it, and its own
data, validation and checkpoints. `total_s` is what passed on the clock.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.data.source import Loaded, Source
from minform_cli.errors import InputError, Interrupted, MinformError, NumericalError
from minform_cli.runs.progress import Listener
from minform_cli.runs.records import ResultRecord
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.loop import Taken, Turns
from minform_cli.training.prepare import Prepared
from minform_cli.training.run import Begun, Means, begin
from minform_cli.training.stackable import OPTION, check_stackable, equal_but_for_the_seed
from minform_cli.training.stacked import SeedStack
from minform_cli.training.team import Team

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch
    from minform_cli.data.load import Data


@dataclass(frozen=True)
class SeedRun:
    """One seed.

    Attributes:
        run: prepared.
        out: its folder.
        resume: whether to go on from the folder's checkpoint.
        tell: told how it goes.
    """

    run: Prepared
    out: Path
    resume: bool
    tell: Listener


def train_stacked(
    runs: Sequence[SeedRun], *, device: str = "auto", threads: int | None = None
) -> list[ResultRecord | NumericalError]:
    """Trains the seeds of one run as one model.

    Args:
        runs: equal but for the seed, and all at the same step.
        device, threads: as of `run.train`.

    Returns:
        Of each seed the result, or why it stopped, while the others went on.

    Raises:
        InputError: a setting is not there for stacked seeds, the seeds differ in more than the seed, or stand at
            different steps; or as `run.train`.
        MachineError, Interrupted: as `run.train`; every seed is saved if that is possible.
    """
    for each in runs:
        check_stackable(each.run.config)
    if len({equal_but_for_the_seed(each.run.config) for each in runs}) > 1:
        raise InputError(f"{OPTION}: the runs differ in more than the seed; accepted: seeds of one variant")
    with StopRequest() as stop, ExitStack() as held:
        team = _OneClock(stop)
        means = Means(team, stop, held, device, threads, stacked=len(runs))
        begun = _begun(runs, means)
        left = {number: each for number, each in enumerate(begun) if isinstance(each, Begun)}
        _check_alike(list(left.values()))
        failed = dict(zip(left, _Together(list(left.values()), team).run(), strict=True))
        results: list[ResultRecord | NumericalError] = []
        for number, each in enumerate(begun):
            results.append(each if not isinstance(each, Begun) else failed[number] or _finished(each))
    for number, each in left.items():
        if not isinstance(results[number], NumericalError):
            runs[number].tell(each.last_news())
    return results


def _begun(runs: Sequence[SeedRun], means: Means) -> list[Begun | ResultRecord]:
    """Each before its next step; the data are read once."""
    begun: list[Begun | ResultRecord] = []
    data: Data | None = None
    for each in runs:
        run = each.run if data is None else replace(each.run, source=_loaded(each.run.source, data))
        begun.append(begin(run, each.out, means, resume=each.resume, tell=each.tell))
        if data is None and isinstance(first := begun[-1], Begun):
            data = first.data
    return begun


def _loaded(source: Source, data: Data) -> Loaded:
    return Loaded(source.data, source.spec, source.files, source.notes, source.labelled, examples=data)


def _finished(begun: Begun) -> ResultRecord | NumericalError:
    try:
        return begun.finish()
    except NumericalError as error:  # on the test split
        return error


def _check_alike(begun: Sequence[Begun]) -> None:
    """Raises `InputError` unless all stand at the same step and have weights of the same shapes."""
    if len(steps := {each.loop.state.step for each in begun}) > 1:
        said = ", ".join(f"{step:,}" for step in sorted(steps))
        raise InputError(f"{OPTION}: the seeds stand at different steps, {said}; accepted: the same one")
    shapes = {tuple(p.shape for p in each.loop.stepper.model.parameters()) for each in begun}
    if len(shapes) > 1:
        raise InputError(f"{OPTION}: the seeds have models of different sizes; accepted: equal ones")


class _OneClock(Team):
    """One process that trains several seeds: its clock stands still within a turn, so that all are saved in the same
    one and go on from the same step.
    """

    def __init__(self, stop: StopRequest) -> None:
        super().__init__(stop)
        self._now = time.perf_counter()

    def tick(self) -> None:
        """The next turn begins."""
        self._now = time.perf_counter()

    def clock(self) -> float:
        """When this turn began."""
        return self._now


class _Together:
    """The loops of all seeds, a step of each at a time."""

    def __init__(self, begun: Sequence[Begun], team: _OneClock) -> None:
        self._begun = begun
        self._team = team
        self._turns: list[Turns] = [each.loop.turns() for each in begun]
        self._given: dict[int, tuple[int, Batch]] = {}  # of each seed that waits for a step: which, and its batch
        self._since = [0.0] * len(begun)
        self._failed: list[NumericalError | None] = [None] * len(begun)
        self._stopped: MinformError | None = None

    def run(self) -> list[NumericalError | None]:
        """To the last step of all; of each seed why it stopped before, or None."""
        for number, turns in enumerate(self._turns):
            self._advance(number, partial(next, turns))
        stack, members = None, []
        while self._given and self._stopped is None:
            if stack is None or members != sorted(self._given):
                members = sorted(self._given)
                left = [self._begun[number] for number in members]
                stack = SeedStack([each.loop.stepper for each in left], [each.config for each in left])
            self._step(stack, members)
        if self._stopped is not None:
            self._save_the_others()
            raise self._stopped
        return self._failed

    def _step(self, stack: SeedStack, members: Sequence[int]) -> None:
        """One step of all, and each seed's way to its next."""
        given = [self._given.pop(number) for number in members]
        step = given[0][0]
        assert all(other == step for other, _ in given), "seeds of one stack stand at the same step"
        started = time.perf_counter()
        came = stack.take(step, [batch for _, batch in given])
        share = (time.perf_counter() - started) / len(members)
        self._team.tick()
        # All are told before a stop is looked at: their weights have taken the step.
        for number, each in zip(members, came, strict=True):
            turns = self._turns[number]
            if isinstance(each, NumericalError):
                self._advance(number, partial(turns.throw, each))
            else:
                elsewhere_s = time.perf_counter() - self._since[number] - share
                self._advance(number, partial(turns.send, Taken(*each, elsewhere_s)))

    def _advance(self, number: int, move: Callable[[], tuple[int, Batch]]) -> None:
        """Takes a seed to where it waits for its next step, or to its end."""
        try:
            self._given[number] = move()
        except StopIteration:
            return
        except NumericalError as error:
            self._failed[number] = error
        except MinformError as error:
            if self._team.leaving:
                raise
            self._stopped = self._stopped or error
        self._since[number] = time.perf_counter()

    def _save_the_others(self) -> None:
        """Ends the seeds that wait for a step, each with a checkpoint of where it stands."""
        for number in self._given:
            with suppress(Interrupted):
                self._turns[number].throw(Interrupted(signal.SIGTERM, "another seed was stopped"))
