"""Task `classify-images`: one class per image; a linear head, cross-entropy, accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from minform_cli.config.axes.readout import Readout
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec
from minform_cli.tasks import Metric, divergence
from minform_cli.tasks.class_head import MeanOfHeads, class_head

METRICS: Mapping[str, Metric] = {
    "loss": Metric("nats per example", "lower"),
    "accuracy": Metric("fraction of examples, 0 to 1", "higher"),
}


class ClassifyImages:
    """One of `spec.num_classes` classes for every image."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """`METRICS`."""
        return METRICS

    def head(self, model: ModelConfig, spec: DataSpec) -> nn.Module:
        """A linear map from the readout (B, dim) to logits (B, num_classes); the mean of two from (B, 2, dim)."""
        if cast(Readout, model.readout).heads == 1:
            return class_head(model, spec.num_classes)
        return MeanOfHeads(model, spec.num_classes)

    def loss(self, logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        """Mean cross-entropy in nats, a scalar.

        Args:
            logits: (B, num_classes).
            labels: (B,) class numbers.
            label_smoothing: probability spread over all classes.
        """
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    def measures(self, spec: DataSpec) -> tuple[str, ...]:  # noqa: ARG002  (other tasks ask the data)
        """Accuracy alone."""
        return ("accuracy",)

    def measure(self, predictions: Tensor, labels: Tensor, spec: DataSpec) -> dict[str, float]:  # noqa: ARG002
        """The share of images that are right, 0 to 1."""
        return {"accuracy": int((predictions == labels).sum()) / len(labels)}

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How many of the batch have their largest logit at their label, an integer scalar."""
        return (self.predictions(logits) == labels).sum()

    def predictions(self, logits: Tensor) -> Tensor:
        """Class numbers (B,) with the largest logit; the lowest number wins ties."""
        return logits.argmax(-1)

    @property
    def followed_by(self) -> str:
        """The share of equal classes."""
        return "agreement"

    def divergence(self, outputs: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """Of classes: `tasks.divergence`."""
        return divergence.of_classes(outputs, wanted, temperature)

    def agreement(self, predictions: Tensor, wanted: Tensor) -> float:
        """Likewise."""
        return divergence.agreement(predictions, wanted)


TASK = ClassifyImages()
