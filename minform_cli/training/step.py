"""One optimiser step, and the refusal to take it on numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from minform_cli.config.schema import RunConfig
from minform_cli.errors import NumericalError
from minform_cli.runs.tensors import Tensors, weights_of
from minform_cli.training.accumulate import parts_of
from minform_cli.training.average import Average
from minform_cli.training.compiled import compiled, compiling
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.objective import Labels, Objective
from minform_cli.training.optim import learning_rate, make_optimizer
from minform_cli.training.precision import computing
from minform_cli.training.runtime import derive_seed, device_seeder
from minform_cli.training.team import Team

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch
    from minform_cli.data.spec import DataSpec
    from minform_cli.models.parts.embedding import ImageEmbedding, TextEmbedding
    from minform_cli.models.stack import Encoder


CLIP_EPS = 1e-6
"""What torch adds to a norm before it divides by it."""


class Stepper:
    """A model, its optimiser and its recipe; `team` are the processes that train it, by default this one alone, and
    `objective` what it minimises, by default the task's own loss.

    Nothing in a step is random but dropout, and the device is seeded for it from (seed, step), and from the part where
    a batch goes in parts: step n computes the same whether the run came to it in one go or over a checkpoint. Processes
    that share a batch differ in dropout.

    Attributes:
        average: of the weights over the steps, by which the run is measured; None: by those of its last step.
    """

    def __init__(
        self,
        model: nn.Module,
        config: RunConfig,
        spec: DataSpec,
        steps_per_epoch: int,
        team: Team | None = None,
        objective: Objective | None = None,
    ) -> None:
        self.model = model
        self.objective: Objective = objective or Labels(config, spec)
        if config.train.activation_checkpointing:
            cast("Encoder[ImageEmbedding] | Encoder[TextEmbedding]", model).recomputes = True
        self._team = team or Team(StopRequest())
        self._forward = compiled(model, spec) if config.train.compile else self._team.wrap(model)
        self._purpose = f"step/{self._team.rank}" if self._team.rank else "step"
        self.optimizer = make_optimizer(model, config.train)
        self.average = None if config.train.ema is None else Average(model, config.train.ema)
        self.measures = self.objective.measures
        self.steps = config.train.num_steps(steps_per_epoch)
        self._steps_per_epoch = steps_per_epoch
        self._train = config.train
        self._seed = config.seed
        self._parameters = list(model.parameters())
        self._seed_device = device_seeder(self._parameters[0].device)

    def computing(self) -> AbstractContextManager[object]:
        """Within, outputs and losses are computed in the precision of the run."""
        return computing(self._train, self._parameters[0].device)

    def measuring(self) -> AbstractContextManager[object]:
        """Within, the model has the weights that the run is measured by."""
        return nullcontext() if self.average is None else self.average.in_place()

    def measured_weights(self) -> Tensors:
        """The weights that the run is measured by, and that it keeps; not copies."""
        return weights_of(self.model) if self.average is None else self.average.weights

    def learning_rate(self, step: int) -> float:
        """The step size of the 0-based `step`."""
        return learning_rate(step, self._steps_per_epoch, self._train)

    def take(self, step: int, batch: Batch) -> tuple[float, int]:
        """Takes the 0-based `step` on `batch`.

        Returns:
            The batch's mean loss before the step, and how many examples were right.

        Raises:
            NumericalError: the loss or a gradient is not finite; no weight has changed.
        """
        with compiling(self._team) if self._train.compile else nullcontext():
            loss, correct = self._gradients(step, batch)
        norm = get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        mean_loss, num_correct, total_norm = self._team.combined(loss, correct, norm, batch)
        if not (math.isfinite(mean_loss) and math.isfinite(total_norm)):
            with self._team.together():
                self.refuse(step, batch.inputs, loss.item(), mean_loss)
        clip_norm = self._train.clip_norm
        if clip_norm is not None and total_norm + CLIP_EPS > clip_norm:  # else all would be multiplied by one
            clip_grads_with_norm_(self._parameters, clip_norm, norm)
        rate = self.learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(step)
        return mean_loss, num_correct

    def _gradients(self, step: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """Leaves the gradients of the batch's mean loss; this process's mean loss, and how many were right."""
        parts = parts_of(batch, self._train.accumulate)
        found: list[tuple[Tensor, Tensor]] = []
        for number, part in enumerate(parts):
            purpose = f"{self._purpose}/part/{number}" if number else self._purpose
            self._seed_device(derive_seed(self._seed, purpose, step))
            inputs, labels = self._team.inputs(part)
            last = number == len(parts) - 1
            with self.computing(), nullcontext() if last else self._team.apart():
                outputs, loss = self.objective.loss(self._forward, inputs, labels, part)
            self._team.weighted(loss, part).backward()
            found.append((loss.detach(), self.objective.correct(outputs, labels)))
        if len(parts) == 1:
            return found[0]
        shares = [len(part.labels) / len(batch.labels) for part in parts]
        losses = [loss * share for (loss, _), share in zip(found, shares, strict=True)]
        return torch.stack(losses).sum(), torch.stack([correct for _, correct in found]).sum()

    def check_weights(self, step: int) -> None:
        """Raises `NumericalError` if a weight is not finite after the 0-based `step`."""
        name = _first_not_finite(weights_of(self.model))
        if name is not None:
            raise self.not_finite(f"weight {name}", step)

    def not_finite(self, what: str, step: int) -> NumericalError:
        """The error that stops a run at the 0-based `step`."""
        return NumericalError(
            f"{what} is not finite at step {step + 1:,} of {self.steps:,}, learning rate {self.learning_rate(step):.3g}"
            "; the last checkpoint stays; try a lower train.learning_rate, a warm-up, or train.clip_norm"
        )

    def refuse(self, step: int, inputs: tuple[Tensor | None, ...], loss: float, mean_loss: float) -> None:
        """Raises the error of a step whose numbers are not finite, in the process where they first were not.

        Args:
            step: 0-based.
            inputs: this process's.
            loss: this process's.
            mean_loss: over the whole batch.
        """
        if not math.isfinite(loss):
            raise self.not_finite(self._culprit_of_loss(inputs), step)
        if math.isfinite(mean_loss):  # else another process has more to say than that its gradient reached this one
            raise self.not_finite(self._culprit_of_gradient(), step)

    def _culprit_of_loss(self, inputs: tuple[Tensor | None, ...]) -> str:
        name = _first_not_finite(weights_of(self.model))
        if name is not None:
            return f"weight {name}"
        return "loss" if all(x is None or bool(x.isfinite().all()) for x in inputs) else "input image"

    def _culprit_of_gradient(self) -> str:
        gradients = {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}
        name = _first_not_finite(gradients)
        return "total norm of the gradients" if name is None else f"gradient of {name}"


def _first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    return next((name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())), None)
