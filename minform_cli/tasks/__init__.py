"""Tasks: what is predicted. Each brings its head, its loss, and its metrics with unit and direction.

Listing the names imports no torch; `TASKS.get` imports the one task asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from minform_cli.registry import LazyRegistry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from minform_cli.data.spec import DataSpec


@dataclass(frozen=True)
class Metric:
    """Unit of a number, and which way is better."""

    unit: str
    better: Literal["lower", "higher"]


class Task(Protocol):
    """What the model builder and the trainer ask of a task."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Every number the task measures, by name."""
        ...

    def head(self, dim: int, spec: DataSpec, bias: bool) -> nn.Module:
        """The last module: from the readout's `dim` numbers to one output per class."""
        ...

    def loss(self, logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        """The mean loss of a batch, a scalar."""
        ...

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How many examples of a batch are right, a scalar."""
        ...

    def predictions(self, logits: Tensor) -> Tensor:
        """The class taken for each example, (B,)."""
        ...


class TaskRegistry:
    """A table from a task's name to the task; its module is imported when it is asked for."""

    def __init__(self, modules: dict[str, str]) -> None:
        self._modules = LazyRegistry("task", modules)

    def get(self, name: str, where: str = "task") -> Task:
        """The task registered as `name`.

        Raises:
            InputError: the name is unknown; `where` opens the message.
        """
        task: Task = self._modules.get(name, where).TASK
        return task

    def names(self) -> tuple[str, ...]:
        """All names."""
        return self._modules.names()


TASKS = TaskRegistry({"classify-images": "minform_cli.tasks.classify_images"})
