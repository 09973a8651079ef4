"""The average of the weights over the steps (``train.ema``), which a run is measured by and keeps as its weights."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from minform_cli.runs.tensors import Tensors, weights_of


class Average:
    """An exponential moving average of the weights of `model`, which begins with those that it has now.

    After the 0-based step t it forgets with the factor min(`decay`, (1 + t) / (10 + t)), as TensorFlow's
    ``ExponentialMovingAverage`` does: what the first weights, from chance, leave in it fades within the first steps
    however slow the decay.

    Attributes:
        weights: the average, by the names of `weights_of`; integers as they are now.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self.weights: Tensors = {name: tensor.clone() for name, tensor in weights_of(model).items()}
        held: Tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self._held = {name: held[name] for name in self.weights}
        self._floats = [name for name, tensor in self.weights.items() if tensor.is_floating_point()]

    def update(self, step: int) -> None:
        """Takes in the weights that the model has after the 0-based `step`."""
        forget = get_ema_multi_avg_fn(min(self._decay, (1 + step) / (10 + step)))
        forget([self.weights[name] for name in self._floats], [self._held[name] for name in self._floats], None)
        for name in self.weights.keys() - set(self._floats):
            self.weights[name].copy_(self._held[name])

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Within, the model has the average for its weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, tensor in self._held.items():
            self.weights[name], tensor.data = tensor.data, self.weights[name]
