"""How long a run will take, from a few of its steps: on made-up images, so that none is read, or on the text itself.

Nothing is written, but for what data sets of text keep of their tokens.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from minform_cli.config.schema import RunConfig
from minform_cli.data.batch import Batch
from minform_cli.data.batches import make_batches
from minform_cli.data.source import Source
from minform_cli.data.spec import DataSpec, ImageSpec
from minform_cli.models.build import build_model
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.precision import check_precision
from minform_cli.training.runtime import derive_seed, runtime
from minform_cli.training.step import Stepper
from minform_cli.training.team import Team
from minform_cli.training.translation import translations_of

_WARM_UP = 2
"""First steps allocate and choose kernels; they are not counted."""

_ENOUGH_S = 0.3
_LEAST_STEPS = 3


@dataclass(frozen=True)
class Speed:
    """What a run's pieces take, in seconds.

    Attributes:
        step_s: one training step (median of several).
        evaluation_s: one pass over the validation examples.
        steps_per_epoch: training steps of an epoch.
        epochs: that the whole run begins.
        steps: of the whole run; None: all of its epochs.
    """

    step_s: float
    evaluation_s: float
    steps_per_epoch: int
    epochs: int
    steps: int | None = None

    def seconds(self, steps_done: int = 0) -> float:
        """The rest of the run after `steps_done` steps; loading data and checkpoints left out."""
        steps = self.epochs * self.steps_per_epoch if self.steps is None else self.steps
        epochs_left = self.epochs - steps_done // self.steps_per_epoch
        return (steps - steps_done) * self.step_s + epochs_left * self.evaluation_s


def time_run(config: RunConfig, source: Source, *, device: str = "auto", threads: int | None = None) -> Speed:
    """Times training steps and a validation batch of `config`: on random images of the shape that its source has, or
    on the text itself.

    Raises:
        InputError: the device is not there.
        MachineError: memory ran out.
        NumericalError: a loss or gradient is not finite.
    """
    train = config.train
    data = None if isinstance(source.spec, ImageSpec) else source.load()
    spec = source.spec if data is None else data.spec
    with runtime(device, threads) as used:
        check_precision(train, used.device)
        torch.manual_seed(derive_seed(config.seed, "weights"))
        with used.device:
            model = build_model(config, spec)
        batches = None if data is None else make_batches(data, config, used.device)
        steps_per_epoch = math.ceil(spec.num_train / train.batch_size) if batches is None else batches.steps_per_epoch
        stepper = Stepper(model, config, spec, steps_per_epoch)
        if batches is None:
            batch = _batch(spec, min(train.batch_size, spec.num_train), used.device)
        else:
            batch = next(batches.epoch(0))
        steps = iter(range(1_000_000))
        model.train()
        step_s = _median_s(lambda: stepper.take(next(steps), batch))
        evaluated = min(train.eval_batch_size, spec.num_val)
        batch = _batch(spec, evaluated, used.device) if batches is None else next(batches.evaluation("val"))
        team = Team(StopRequest())

        def evaluate() -> None:
            written = None if data is None else translations_of(config, data, "val")
            with stepper.computing():
                stepper.objective.score(model, iter([batch]), team)
                if written is not None:
                    written.write(model, batch)

        batch_s = _median_s(evaluate)
    return Speed(
        step_s, batch_s * spec.num_val / evaluated, steps_per_epoch, train.num_epochs(steps_per_epoch), train.steps
    )


def _batch(spec: DataSpec, num: int, device: torch.device) -> Batch:
    assert isinstance(spec, ImageSpec)
    images = torch.randn(num, spec.channels, spec.height, spec.width)
    return Batch((images.to(device),), torch.randint(spec.num_classes, (num,)).to(device))


def _median_s(do: Callable[[], object]) -> float:
    """Median seconds of `do`, which waits for its device by itself, as it returns numbers."""
    for _ in range(_WARM_UP):
        do()
    taken: list[float] = []
    while len(taken) < _LEAST_STEPS or sum(taken) < _ENOUGH_S:
        started = time.perf_counter()
        do()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
