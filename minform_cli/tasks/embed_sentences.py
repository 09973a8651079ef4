"""Task `embed-sentences`: a vector for every sentence, the readout's own; there is no head.

What is right is another model's vector of the same sentence; no data set says it.
Source: Sentence-BERT, arXiv 1908.10084, section 3 (mean over tokens; vectors are compared by their cosine).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec
from minform_cli.tasks import Metric, divergence

METRICS: Mapping[str, Metric] = {
    "loss": Metric("1 less the mean cosine to the vectors that are right", "lower"),
    "cosine": Metric("mean cosine to the vectors that are right, -1 to 1", "higher"),
}


class EmbedSentences:
    """The vector that the readout gives. Labels are vectors, (B, N)."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """`METRICS`."""
        return METRICS

    def head(self, model: ModelConfig, spec: DataSpec) -> None:  # noqa: ARG002
        """None: the vector is the output."""
        return

    def loss(self, outputs: Float[Tensor, "b n"], labels: Float[Tensor, "b n"], label_smoothing: float) -> Tensor:  # noqa: ARG002
        """1 less the mean cosine, a scalar."""
        return 1 - F.cosine_similarity(outputs, labels).mean()

    def measures(self, spec: DataSpec) -> tuple[str, ...]:  # noqa: ARG002  (other tasks ask the data)
        """The cosine alone."""
        return ("cosine",)

    def measure(self, predictions: Tensor, labels: Tensor, spec: DataSpec) -> dict[str, float]:  # noqa: ARG002
        """The mean cosine, in float64.

        Args:
            predictions, labels: (n, N) of a whole split.
            spec: of the data.
        """
        return {"cosine": F.cosine_similarity(predictions.double(), labels.double()).mean().item()}

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002
        """0: vectors are near, not right."""
        return labels.new_zeros(()).long()

    def predictions(self, outputs: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """The vectors."""
        return outputs

    @property
    def followed_by(self) -> str:
        """The mean cosine."""
        return "cosine"

    def divergence(self, outputs: Tensor, wanted: Tensor, temperature: float) -> Tensor:  # noqa: ARG002
        """1 less the mean cosine."""
        return divergence.of_vectors(outputs, wanted)

    def agreement(self, predictions: Tensor, wanted: Tensor) -> float:
        """The mean cosine, in float64."""
        return F.cosine_similarity(predictions.double(), wanted.double()).mean().item()


TASK = EmbedSentences()
