"""Several seeds of one run as one model: a leading seed axis over all weights, folded into the batch of the products.

How: `torch.vmap` over the forward pass and the loss, whose gradients are taken outside of it. So every plain product
becomes one over all seeds, forward and backward, and no part knows of the axis. What torch's fused attention does
under `vmap` is a loop (pytorch#117016): parts compute by plain operations here (`models.parts.plain`).

Every seed has its own data order, dropout, clipping and finiteness. The optimisers accepted here treat every number by
itself, so one optimiser over the stacked tensors does what one for each seed would. A seed computes what it would
alone, but for rounding, as other kernels add up in another order: after three steps in float64 the weights differ by
1e-10 at most. In float32 they do by rounding too, but for numbers whose gradient is zero but for rounding: those may
differ by the learning rate a step, since Adam takes such a gradient for as large as any other.

Masks of dropout are drawn from a generator of each seed, seeded by (seed, step): on a CPU the draws that the seed alone
has; on a GPU others than those, as its fused dropout has a generator of its own.

Each seed keeps its own model and optimiser (`Stepper`), whose tensors are views of the stacked ones: they are
evaluated, saved and restored as if they were alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call  # pyright: ignore[reportPrivateImportUsage]
from torch.overrides import TorchFunctionMode

from minform_cli.config.schema import RunConfig
from minform_cli.errors import NumericalError
from minform_cli.models.parts.plain import plainly
from minform_cli.training.runtime import derive_seed
from minform_cli.training.step import Stepper

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch

IGNORED = -100
"""The label that `cross_entropy` leaves out."""


class SeedStack:
    """The seeds of one run as one model.

    Args:
        steppers: one a seed, all at the same step; from here on their weights and moments are views.
        configs: of each; equal but for the seed.
    """

    def __init__(self, steppers: Sequence[Stepper], configs: Sequence[RunConfig]) -> None:
        self.steppers = tuple(steppers)
        self.configs = tuple(configs)
        self._model = self.steppers[0].model
        self._clip_norm = configs[0].train.clip_norm
        self._drops = configs[0].model.dropout > 0
        held = sum(len(list(module.parameters(recurse=False))) for module in self._model.modules())
        assert held == len(list(self._model.parameters())), "modules may be shared, parameters of two modules may not"
        named = [dict(stepper.model.named_parameters()) for stepper in self.steppers]
        self._own = {name: [each[name] for each in named] for name in named[0]}
        self._weights = {name: nn.Parameter(_stacked(own)) for name, own in self._own.items()}
        for name, own in self._own.items():
            for parameter, view in zip(own, self._weights[name].detach(), strict=True):
                parameter.data = view
        buffers = [dict(stepper.model.named_buffers()) for stepper in self.steppers]
        self._buffers = {  # the others are constants, the same for all
            name: torch.stack([each[name] for each in buffers])
            for name, first in buffers[0].items()
            if not all(torch.equal(first, each[name]) for each in buffers)
        }
        self._numbers = torch.arange(len(self.steppers), device=next(iter(self._weights.values())).device)
        self._optimizer = self._one_optimizer()
        self._linked = False

    def take(self, step: int, batches: Sequence[Batch]) -> list[tuple[float, int] | NumericalError]:
        """Takes the 0-based `step` of every seed, each on its own batch.

        Returns:
            Of each seed what `Stepper.take` returns, or raises. A seed whose loss or gradient is not finite keeps the
            weights that it had, and has left the stack: the caller makes another of those that go on.
        """
        losses, correct = self._losses(step, batches)
        losses.sum().backward()
        gradients = [weight.grad for weight in self._weights.values() if weight.grad is not None]
        norms = torch.linalg.vector_norm(torch.cat([gradient.flatten(1) for gradient in gradients], 1), dim=1)
        # The numbers of all seeds come from the device together: one wait a step.
        numbers = torch.stack([losses.detach(), correct.to(losses.dtype), norms.to(losses.dtype)]).T.tolist()
        taken: list[tuple[float, int] | NumericalError] = []
        for number, (loss, right, norm) in enumerate(cast("list[list[float]]", numbers)):
            if math.isfinite(loss) and math.isfinite(norm):
                taken.append((loss, int(right)))
            else:
                taken.append(self._refused(number, step, batches[number], loss))
        if self._clip_norm is not None:
            scales = (self._clip_norm / (norms + 1e-6)).clamp(max=1.0)
            for gradient in gradients:
                gradient.mul_(scales.view(-1, *(1,) * (gradient.ndim - 1)))
        rate = self.steppers[0].learning_rate(step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        if not self._linked:
            self._link()
        return taken

    def _losses(self, step: int, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Mean loss and right answers of each seed, both (S,)."""
        labels, inputs = _side_by_side(batches)
        objective = self.steppers[0].objective
        dropout = _Dropout(self.configs, step, self._numbers.device) if self._drops else None

        def of_one(
            weights: Mapping[str, Tensor],
            buffers: Mapping[str, Tensor],
            inputs: tuple[Tensor | None, ...],
            labels: Tensor,
            number: Tensor,
        ) -> tuple[Tensor, Tensor]:
            if dropout is not None:
                dropout.number = number

            def forward(*inputs: Tensor | None) -> Tensor:
                return cast(Tensor, functional_call(self._model, {**weights, **buffers}, inputs, tie_weights=False))

            outputs, loss = objective.loss(forward, inputs, labels, batches[0])
            return loss, objective.correct(outputs, labels)

        dims = (0, 0, tuple(None if each is None else 0 for each in inputs), 0, 0)
        # "same" leaves the drawing to `_Dropout`; without dropout nothing draws, and what did would be refused.
        randomness = "error" if dropout is None else "same"
        mapped = cast("Callable[..., tuple[Tensor, Tensor]]", torch.vmap(of_one, dims, randomness=randomness))
        with plainly(), self.steppers[0].computing(), nullcontext() if dropout is None else dropout:
            return mapped(self._weights, self._buffers, inputs, labels, self._numbers)

    def _refused(self, number: int, step: int, batch: Batch, loss: float) -> NumericalError:
        """The error of a seed whose numbers are not finite; nothing that the others do reaches its weights any more."""
        stepper = self.steppers[number]
        for name, own in self._own.items():
            gradient, parameter = self._weights[name].grad, own[number]
            parameter.data = parameter.data.clone()
            if gradient is not None:
                parameter.grad = gradient[number].clone()
                gradient[number] = 0.0
        try:
            stepper.refuse(step, batch.inputs, loss, loss)
        except NumericalError as error:
            return error
        finally:
            stepper.optimizer.zero_grad()
        raise AssertionError("a loss or a norm is not finite")

    def _one_optimizer(self) -> torch.optim.Optimizer:
        """One over the stacked tensors: settings and groups as each seed's has them, moments where it has some."""
        like = self.steppers[0].optimizer
        names = {own[0]: name for name, own in self._own.items()}
        groups = [
            {**group, "params": [self._weights[names[parameter]] for parameter in group["params"]]}
            for group in like.param_groups
        ]
        optimizer: torch.optim.Optimizer = cast(Any, type(like))(groups)
        for name, own in self._own.items():
            states = [stepper.optimizer.state.get(each, {}) for stepper, each in zip(self.steppers, own, strict=True)]
            optimizer.state[self._weights[name]] = {
                key: _stacked([state[key] for state in states]) if value.shape == own[0].shape else value.clone()
                for key, value in cast("dict[str, Tensor]", states[0]).items()
            }
        return optimizer

    def _link(self) -> None:
        """Makes the moments of every seed's optimiser views of the stacked ones."""
        for name, own in self._own.items():
            stacked = cast("dict[str, Tensor]", self._optimizer.state[self._weights[name]])
            for number, (stepper, parameter) in enumerate(zip(self.steppers, own, strict=True)):
                stepper.optimizer.state[parameter] = {
                    key: value[number] if value.shape[1:] == parameter.shape and value.ndim else value
                    for key, value in stacked.items()
                }
        self._linked = True


class _Dropout(TorchFunctionMode):
    """Within, `F.dropout` masks each seed's numbers by the draws of that seed at that step.

    Attributes:
        number: of the seed, as `vmap` hands it to the function that it maps.
    """

    number: Tensor

    def __init__(self, configs: Sequence[RunConfig], step: int, device: torch.device) -> None:
        super().__init__()
        seeds = [derive_seed(config.seed, "step", step) for config in configs]
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.dropout:
            return func(*args, **kwargs)
        x, kept = cast(Tensor, args[0]), 1 - kwargs["p"]
        if not kwargs["training"] or kept == 1:
            return x
        masks = torch.empty((len(self._generators), *x.shape), dtype=x.dtype, device=x.device)
        for mask, generator in zip(masks, self._generators, strict=True):
            mask.bernoulli_(kept, generator=generator)
        masks.div_(kept)
        return x * masks.index_select(0, self.number.unsqueeze(0)).squeeze(0)


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.detach() for tensor in tensors])


def _side_by_side(batches: Sequence[Batch]) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """Labels (S, P) and inputs of all seeds.

    Where one predicts fewer tokens than another, its first token stands in their place, with a label that no loss has.
    """
    most = max(len(batch.labels) for batch in batches)
    labels = [F.pad(batch.labels, (0, most - len(batch.labels)), value=IGNORED) for batch in batches]
    inputs: list[Tensor | None] = []
    for each in zip(*(batch.inputs for batch in batches), strict=True):
        tensors = [x for x in each if x is not None]
        alike = len({x.shape for x in tensors}) <= 1
        if not alike:
            assert tensors[0].ndim == 1, "examples of one width alone are stacked"
            tensors = [F.pad(x, (0, most - len(x))) for x in tensors]
        inputs.append(torch.stack(tensors) if tensors else None)
    return torch.stack(labels), tuple(inputs)
