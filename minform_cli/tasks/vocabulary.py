"""Predicting tokens: the output over the vocabulary, its loss and its accuracy, for every task that does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from minform_cli.config.axes.bias import has_bias
from minform_cli.config.axes.embedding import Embedding
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec, TextSpec
from minform_cli.tasks import Metric, divergence

METRICS: Mapping[str, Metric] = {
    "loss": Metric("nats per predicted token", "lower"),
    "accuracy": Metric("fraction of predicted tokens, 0 to 1", "higher"),
}


class VocabularyMap(nn.Module):
    """Outputs over V entries: x E^T (+ b), E the vectors of the vocabulary or, untied, a matrix of its own.

    Numbers: 0 tied, V N untied, and V of a bias; tied to vectors of E columns N E, for a map of x to as many.

    Args:
        model: `embedding.tied` says which.
        spec: the size V.
        bias: whether b exists.
        narrowed: whether x has as many columns as the vectors of the vocabulary already.
    """

    def __init__(self, model: ModelConfig, spec: DataSpec, *, bias: bool, narrowed: bool = False) -> None:
        super().__init__()
        size = cast(TextSpec, spec).vocab_size
        self.weight: nn.Parameter | None = None
        self.narrow: nn.Linear | None = None
        if not cast(Embedding, model.embedding).ties:
            self.weight = nn.Parameter(torch.empty(size, model.dim))
            nn.init.normal_(self.weight, std=model.dim**-0.5)
        elif model.embedding_width is not None and not narrowed:
            self.narrow = nn.Linear(model.dim, model.word_dim, bias=False)
            nn.init.normal_(self.narrow.weight, std=model.dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None

    def forward(self, x: Float[Tensor, "p n"], table: Float[Tensor, "v e"]) -> Float[Tensor, "p v"]:
        """One output per entry of the vocabulary; `table` are its vectors."""
        if self.narrow is not None:
            x = self.narrow(x)
        return F.linear(x, table if self.weight is None else self.weight, self.bias)

    @property
    def first(self) -> nn.Module:
        """The map that reads the tokens."""
        return self if self.narrow is None else self.narrow


class TokenTask:
    """Base of the tasks that predict tokens. Labels are entries of the vocabulary, (P,)."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """`METRICS`."""
        return METRICS

    def head(self, model: ModelConfig, spec: DataSpec) -> nn.Module:
        """The output over the vocabulary; tied, it has no bias."""
        tied = cast(Embedding, model.embedding).ties
        return VocabularyMap(model, spec, bias=has_bias(model) and not tied)

    def loss(self, outputs: Float[Tensor, "p v"], labels: Int[Tensor, " p"], label_smoothing: float) -> Tensor:
        """Mean cross-entropy in nats, a scalar; `label_smoothing` is spread over the vocabulary."""
        return F.cross_entropy(outputs, labels, label_smoothing=label_smoothing)

    def measures(self, spec: DataSpec) -> tuple[str, ...]:  # noqa: ARG002  (other tasks ask the data)
        """Accuracy alone."""
        return ("accuracy",)

    def measure(self, predictions: Tensor, labels: Tensor, spec: DataSpec) -> dict[str, float]:  # noqa: ARG002
        """The share of predicted tokens that are right, 0 to 1."""
        return {"accuracy": int((predictions == labels).sum()) / len(labels)}

    def correct(self, outputs: Float[Tensor, "p v"], labels: Int[Tensor, " p"]) -> Tensor:
        """How many have their largest output at their label, an integer scalar."""
        return (self.predictions(outputs) == labels).sum()

    def predictions(self, outputs: Float[Tensor, "p v"]) -> Int[Tensor, " p"]:
        """Entries with the largest output; the lowest wins ties."""
        return outputs.argmax(-1)

    @property
    def followed_by(self) -> str:
        """The share of equal tokens."""
        return "agreement"

    def divergence(self, outputs: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """Of classes: `tasks.divergence`."""
        return divergence.of_classes(outputs, wanted, temperature)

    def agreement(self, predictions: Tensor, wanted: Tensor) -> float:
        """Likewise."""
        return divergence.agreement(predictions, wanted)
