"""Task `classify-sentences`: a class, or a score, for every sentence or pair of them; measured as GLUE does.

The head is BERT's: dropout, then a linear map. Numbers: M N + M.
Sources: BERT, arXiv 1810.04805, section 4.1; GLUE, arXiv 1804.07461, section 3 (metrics).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.embedding import Embedding
from minform_cli.config.schema import ModelConfig
from minform_cli.data.glue.tasks import GLUE, GlueTask, task_of
from minform_cli.data.spec import DataSpec, TextSpec
from minform_cli.errors import IllegalModelError
from minform_cli.tasks import Metric, divergence
from minform_cli.tasks.class_head import class_head

METRICS: Mapping[str, Metric] = {
    "loss": Metric("nats per example; where scores are predicted, their mean squared error", "lower"),
    "accuracy": Metric("fraction of examples, 0 to 1", "higher"),
    "f1": Metric("harmonic mean of precision and recall of the second class, 0 to 1", "higher"),
    "matthews": Metric("Matthews correlation, -1 to 1", "higher"),
    "pearson": Metric("Pearson correlation, -1 to 1", "higher"),
    "spearman": Metric("Spearman rank correlation, -1 to 1", "higher"),
    "score": Metric("mean of the two metrics GLUE has for the task", "higher"),
}


class SentenceHead(nn.Module):
    """Dropout, then a linear map -> `output`."""

    def __init__(self, model: ModelConfig, num_outputs: int) -> None:
        super().__init__()
        self.dropout = model.dropout
        self.output = class_head(model, num_outputs)

    @property
    def first(self) -> nn.Linear:
        """The map that reads the vectors."""
        return self.output

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """Logits, or the score."""
        return self.output(F.dropout(x, self.dropout, self.training) if self.dropout else x)


class ClassifySentences:
    """One of `spec.num_classes` classes for every example, or a score where there are none."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """`METRICS`; `measure` tells those of one task."""
        return METRICS

    def head(self, model: ModelConfig, spec: DataSpec) -> nn.Module:
        """From the readout (B, dim) to logits (B, num_classes) or scores (B, 1).

        Raises:
            IllegalModelError: the data set has neither, or has pairs and the model one token type.
        """
        task = _glue(spec)
        num_sentences = 1 if task is None else len(task.sentences)
        told_apart = cast(Embedding, model.embedding).sentences
        if told_apart is not None and told_apart < num_sentences:
            raise IllegalModelError(
                f"model.embedding types {told_apart}: {spec.title} has pairs of sentences; accepted: "
                f"{num_sentences} or more to tell them apart, or 0 for no token types"
            )
        return SentenceHead(model, spec.num_outputs)

    def loss(self, outputs: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        """Mean cross-entropy in nats, or the mean squared error, a scalar.

        Args:
            outputs: (B, M).
            labels: (B,) class numbers; or scores, in floating point.
            label_smoothing: probability spread over all classes; of no meaning for scores.
        """
        if labels.is_floating_point():
            return F.mse_loss(outputs.squeeze(-1), labels)
        return F.cross_entropy(outputs, labels, label_smoothing=label_smoothing)

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """How many of the batch have their largest output at their label, an integer scalar; 0 for scores."""
        if labels.is_floating_point():
            return labels.new_zeros((), dtype=labels.dtype).long()
        return (self.predictions(outputs) == labels).sum()

    def predictions(self, outputs: Tensor) -> Tensor:
        """Class numbers (B,) with the largest output, the lowest number wins ties; or the scores (B,)."""
        return outputs.squeeze(-1) if outputs.shape[-1] == 1 else outputs.argmax(-1)

    @property
    def followed_by(self) -> str:
        """The share of equal classes, or the correlation of scores."""
        return "agreement"

    def divergence(self, outputs: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """Of classes, or of scores: `tasks.divergence`."""
        if outputs.shape[-1] == 1:
            return divergence.of_scores(outputs, wanted)
        return divergence.of_classes(outputs, wanted, temperature)

    def agreement(self, predictions: Tensor, wanted: Tensor) -> float:
        """Likewise."""
        return divergence.agreement(predictions, wanted)

    def measure(self, predictions: Tensor, labels: Tensor, spec: DataSpec) -> dict[str, float]:
        """What GLUE measures for the task, by name; of other classes and scores as `measures` says. Undefined is 0.

        Args:
            predictions: (n,) of a whole split, as `predictions` gives them.
            labels: (n,) of the same.
            spec: says which task it is.
        """
        from minform_cli.tasks.glue_metrics import measured  # scikit-learn, which counting can do without

        if predictions.is_floating_point():
            predictions = predictions.float()  # numpy knows no bfloat16
        task = _glue(spec)
        names = _OTHER[bool(spec.class_names)] if task is None else task.metrics
        return measured(names, predictions.cpu().numpy(), labels.cpu().numpy())

    def measures(self, spec: DataSpec) -> tuple[str, ...]:
        """Names of what `measure` gives, the metric that GLUE's score is made of first."""
        task = _glue(spec)
        if task is None:
            return _OTHER[bool(spec.class_names)]
        return (task.primary, *(name for name in task.metrics if name != task.primary))


_OTHER = {True: ("accuracy",), False: ("score", "pearson", "spearman")}
"""What classes are measured by that are not GLUE's, and what scores are."""


def _glue(spec: DataSpec) -> GlueTask | None:
    """The task of GLUE that the examples are of; None: their classes or scores are somebody else's."""
    task = task_of(spec.name)
    if task is None and not spec.class_names and not cast(TextSpec, spec).outputs:
        raise IllegalModelError(
            f"task 'classify-sentences' needs sentences with labels, and {spec.title} has none; "
            f"accepted: data.name glue with data.subset one of {', '.join(GLUE)}"
        )
    return task


TASK = ClassifySentences()
