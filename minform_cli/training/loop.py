"""The loop: steps, validation after every epoch, checkpoints, in the order they happen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from minform_cli.errors import Interrupted
from minform_cli.runs.checkpoint import Best, CheckpointStore, State
from minform_cli.runs.journal import Journal
from minform_cli.runs.progress import Listener, Progress
from minform_cli.runs.tensors import Tensors, moments_of, weights_of
from minform_cli.training.evaluate import Scores
from minform_cli.training.step import Stepper
from minform_cli.training.team import Team
from minform_cli.training.translation import Translations

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch, Batches

TELL_EVERY_S = 0.1
"""Least time between two `step` events: faster than an eye, slow enough to cost nothing."""


@dataclass(frozen=True)
class Records:
    """What the leading process writes: one line an epoch in each journal, the times apart, so that equal runs have
    equal metrics files; and checkpoints.
    """

    metrics: Journal
    timings: Journal
    store: CheckpointStore


class Taken(NamedTuple):
    """What a step came to: mean loss and right answers of its batch, and seconds since the batch was given away that
    were spent on other runs.
    """

    loss: float
    num_correct: int
    elsewhere_s: float = 0.0


Turns = Generator[tuple[int, "Batch"], Taken]
"""Gives away each 0-based step with its batch, and is sent what that step came to."""


@dataclass
class Loop:
    """One run from where `state` stands to its last step.

    Attributes:
        stepper: the model and its optimiser.
        batches: what they are trained and validated on.
        epochs: passes that the whole run begins; the last one may end early.
        checkpoint_every_s: least time in seconds between two checkpoints.
        state: where the run stands; changed in place.
        records: None where another process leads.
        team: the processes that train; asked between steps and between validation batches whether to stop.
        tell: told how it goes.
        translations: from a split to what takes the translations of it, or None where nothing is translated.
        patience: epochs without a better one after which the run ends; None: it goes on to its last epoch.
        time_limit_s: seconds, earlier parts of the run included, after which it ends; None: never.
        goes_on: from how many epochs are done to whether another one is to be; asked between two of them.
    """

    stepper: Stepper
    batches: Batches
    epochs: int
    checkpoint_every_s: float
    state: State
    records: Records | None
    team: Team
    tell: Listener
    translations: Callable[[Literal["val", "test"]], Translations | None]
    patience: int | None = None
    time_limit_s: float | None = None
    goes_on: Callable[[int], bool] | None = None

    def __post_init__(self) -> None:
        self._new_best: Tensors | None = None
        self._validated: Scores | None = None
        self._first_step = self.state.step
        self._earlier_s = self.state.total_s
        self._started = self._told = time.perf_counter()
        self._saved = self.team.clock()
        limit = self.time_limit_s
        self._deadline = (  # by the leader's clock, which all know from their first exchange on
            math.inf if limit is None else self.team.from_leader(lambda: time.perf_counter() + limit - self._earlier_s)
        )

    def run(self) -> None:
        """Trains to the end, or until nothing has got better for long enough, and leaves a checkpoint there.

        Raises:
            NumericalError: a loss, gradient or weight is not finite; the last checkpoint is from before.
            Interrupted: a signal came; there is a checkpoint of the step it came in.
            MachineError: a checkpoint could not be written; the earlier one is intact.
        """
        turns = self.turns()
        with suppress(StopIteration):
            turn = next(turns)
            while True:
                try:
                    taken = Taken(*self.stepper.take(*turn))
                except BaseException as error:
                    turn = turns.throw(error)
                else:
                    turn = turns.send(taken)

    def turns(self) -> Turns:
        """All that `run` does and raises, but for the steps, which are left to whoever asks for the next turn.

        An error that is thrown in where a step was given away ends the run as if the step had raised it.
        """
        try:
            while self.state.epoch < self.epochs and self.stopped_early is None and self._goes_on():
                yield from self._train_epoch()
                self._validate_epoch()
                self._is_time_up()
                self._save_if_due()
            self._save()
        except Interrupted as stopped:
            if self.team.leaving:
                raise
            self._save()
            raise Interrupted(
                stopped.signum,
                f"{stopped.signal_name}: saved at step {self.state.step:,} of {self.stepper.steps:,}; "
                "to go on, repeat the command with --resume",
            ) from None

    def _goes_on(self) -> bool:
        state = self.state
        return self.goes_on is None or bool(state.num_examples) or not state.epoch or self.goes_on(state.epoch)

    @property
    def stopped_early(self) -> str | None:
        """The setting for which the run ends before its last epoch; by what a checkpoint knows too, so that a resumed
        one ends there.
        """
        best, epoch = self.state.best, self.state.epoch
        if best is None or self.state.num_examples or self.state.step >= self.stepper.steps:  # of an epoch under way
            return None
        if self.patience is not None and epoch - best.epoch >= self.patience:
            return "early_stop"
        return "time_limit_s" if self.state.out_of_time else None

    def _is_time_up(self) -> bool:
        """Whether the run has had all its time; once it has, the state says so."""
        self.state.out_of_time = self.state.out_of_time or self.team.clock() >= self._deadline
        return self.state.out_of_time

    def score(self, split: Literal["val", "test"]) -> Scores:
        """Measures the model on `split`, of which each process takes a part.

        Raises:
            Interrupted: a signal came.
        """
        batches = self.team.until_signalled(self.batches.evaluation(split))
        with self.stepper.measuring(), self.stepper.computing():
            return self.stepper.objective.score(self.stepper.model, batches, self.team, self.translations(split))

    def validated(self) -> Scores:
        """The last weights' scores on the validation split, once the run has ended; errors as of `score`."""
        return self._validated or self.score("val")  # a run that went on where nothing was left to do

    def _train_epoch(self) -> Turns:
        state = self.state
        first = state.epoch * self.batches.steps_per_epoch
        last = min(first + self.batches.steps_per_epoch, self.stepper.steps)
        if state.step == last:
            return  # a stop came between the last step and the validation
        if self.state.out_of_time:
            return  # a stop came between the last step that there was time for and the validation
        self.stepper.model.train()
        clock = time.perf_counter()
        for batch in islice(self.batches.epoch(state.epoch, state.step - first), last - state.step):
            self.team.check()
            taken = yield state.step, batch
            state.step += 1
            state.loss_sum += taken.loss * batch.size
            state.num_correct += taken.num_correct
            state.num_seen += batch.size
            state.num_examples += batch.num_examples
            now = time.perf_counter()
            state.epoch_s += now - clock - taken.elsewhere_s
            clock = now
            if now - self._told >= TELL_EVERY_S:
                self._tell("step", state.epoch + 1, self._training_metrics())
                clock = time.perf_counter()  # what is done with the news is no training
            if self._is_time_up():
                return
            if self._save_if_due():
                clock = time.perf_counter()
        assert state.step == last, "an epoch had too few batches"

    def _validate_epoch(self) -> None:
        state = self.state
        clock = time.perf_counter()
        scores = self._validated = self.score("val")
        eval_s = time.perf_counter() - clock
        with self.team.together():
            if not math.isfinite(scores.loss):
                raise self.stepper.not_finite("validation loss", state.step - 1)
            measured = {f"val_{name}": value for name, value in scores.measured.items()}
            state.metrics = {**self._training_metrics(), "val_loss": scores.loss, **measured}
            best = Best(state.epoch + 1, scores.measured[self.stepper.measures[0]], scores.loss)
            better = state.best is None or state.best.beaten_by(best)
            state.best = best if better else state.best
            if self.records is not None:
                if better:
                    self._new_best = {name: tensor.clone() for name, tensor in self.stepper.measured_weights().items()}
                rate = self.stepper.learning_rate(state.step - 1)
                line = {"epoch": state.epoch + 1, "step": state.step, "learning_rate": rate, **state.metrics}
                self.records.metrics.append(line)
                predicted = state.num_seen / max(state.epoch_s, 1e-9)
                times = {
                    "train_s": state.epoch_s,
                    "eval_s": eval_s,
                    "examples_per_s": self._examples_per_s(),
                    "predicted_per_s": predicted,
                }
                self.records.timings.append({"epoch": state.epoch + 1, **times})
        self._tell("epoch", state.epoch + 1, state.metrics)
        state.epoch += 1
        state.train_s += state.epoch_s
        state.loss_sum, state.num_correct, state.num_seen, state.num_examples, state.epoch_s = 0.0, 0, 0, 0, 0.0

    def _save_if_due(self) -> bool:
        """Saves if the last checkpoint is old enough; whether it did."""
        due = self.team.clock() - self._saved >= self.checkpoint_every_s
        if due:
            self._save()
        return due

    def _save(self) -> None:
        state = self.state
        state.total_s = self._earlier_s + time.perf_counter() - self._started
        with self.team.together():
            if self.records is not None and not self.records.store.holds(state):
                self.stepper.check_weights(max(state.step - 1, 0))
                moments = moments_of(self.stepper.model, self.stepper.optimizer)
                stepped = None if self.stepper.average is None else weights_of(self.stepper.model)
                self.records.store.save(state, self.stepper.measured_weights(), moments, self._new_best, stepped)
                self._new_best = None
        self._saved = self.team.clock()

    def _training_metrics(self) -> dict[str, float]:
        """Means over what was predicted in the epoch so far, each at the step that trained on it."""
        seen = max(self.state.num_seen, 1)
        loss = {"train_loss": self.state.loss_sum / seen}
        right_or_wrong = "accuracy" in self.stepper.measures
        return {**loss, "train_accuracy": self.state.num_correct / seen} if right_or_wrong else loss

    def _examples_per_s(self) -> float:
        return self.state.num_examples / max(self.state.epoch_s, 1e-9)

    def _tell(self, kind: Literal["step", "epoch"], epoch: int, metrics: dict[str, float]) -> None:
        self._told = time.perf_counter()
        step, steps = self.state.step, self.stepper.steps
        seconds_a_step = (self._told - self._started) / max(step - self._first_step, 1)
        seconds_left = (steps - step) * seconds_a_step
        rate, metric = self._examples_per_s(), self.stepper.measures[0]
        self.tell(Progress(kind, epoch, self.epochs, step, steps, metrics, rate, seconds_left, metric=metric))
