"""What a step minimises and a split is measured by: the task's own labels, unless a run follows another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

from minform_cli.config.schema import RunConfig
from minform_cli.tasks import TASKS, Task
from minform_cli.training.evaluate import Scores, score
from minform_cli.training.precision import full
from minform_cli.training.team import Team
from minform_cli.training.translation import Translations

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch
    from minform_cli.data.spec import DataSpec

Inputs = tuple[Tensor | None, ...]
"""What a model's `forward` takes, in its order."""


class Objective(Protocol):
    """What the trainer asks of it."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what a split is measured by, the one that runs are compared by first."""
        ...

    def loss(
        self, forward: Callable[..., Tensor], inputs: Inputs, labels: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """The outputs for a batch, and its mean loss, a scalar.

        Args:
            forward: the model, or what exchanges its gradients.
            inputs, labels: what this process computes on.
            batch: whose part they are.
        """
        ...

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """How many of a batch are right, a scalar."""
        ...

    def score(
        self, model: nn.Module, batches: Iterable[Batch], team: Team, translations: Translations | None = None
    ) -> Scores:
        """Measures `model` on a split; arguments as of `evaluate.score`."""
        ...


def labels_loss(task: Task, outputs: Tensor, labels: Tensor, smoothing: float, batch: Batch) -> Tensor:
    """The task's mean loss of `labels`; where others are mixed in, of those of both, by their weights."""
    own = task.loss(outputs, labels, smoothing)
    second = batch.second
    if second is None or not len(batch.labels):
        return own
    return second.weight * own + (1 - second.weight) * task.loss(outputs, second.labels, smoothing)


class Labels:
    """The task's own loss and metrics.

    Args:
        config: of the run.
        spec: of its data.
    """

    def __init__(self, config: RunConfig, spec: DataSpec) -> None:
        self._task = TASKS.get(config.task)
        self._spec = spec
        self._smoothing = config.train.label_smoothing

    @property
    def measures(self) -> tuple[str, ...]:
        """The task's."""
        return self._task.measures(self._spec)

    def loss(
        self,
        forward: Callable[..., Tensor],
        inputs: Inputs,
        labels: Tensor,
        batch: Batch,
    ) -> tuple[Tensor, Tensor]:
        """Outputs, and the task's loss."""
        outputs = full(forward(*inputs))
        return outputs, labels_loss(self._task, outputs, labels, self._smoothing, batch)

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """As the task counts."""
        return self._task.correct(outputs, labels)

    def score(
        self, model: nn.Module, batches: Iterable[Batch], team: Team, translations: Translations | None = None
    ) -> Scores:
        """As the task measures."""
        return score(model, self._task, self._spec, batches, team, translations)
