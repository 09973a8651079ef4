"""The average of the weights over the steps (``train.ema``), which a run is measured by and keeps as its weights."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
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
        self._model = model
        self._decay = decay
        self.weights: Tensors = {name: tensor.clone() for name, tensor in weights_of(model).items()}

    def update(self, step: int) -> None:
        """Takes in the weights that the model has after the 0-based `step`."""
        now = weights_of(self._model)
        floats = [name for name, tensor in now.items() if tensor.is_floating_point()]
        forget = get_ema_multi_avg_fn(min(self._decay, (1 + step) / (10 + step)))
        forget([self.weights[name] for name in floats], [now[name] for name in floats], None)
        for name in now.keys() - set(floats):
            self.weights[name].copy_(now[name])

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Within, the model has the average for its weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        held = {**dict(self._model.named_parameters()), **dict(self._model.named_buffers())}
        for name, average in self.weights.items():
            tensor: torch.Tensor = held[name]
            self.weights[name], tensor.data = tensor.data, average
