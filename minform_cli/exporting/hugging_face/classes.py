"""Which of our classes, that transformers loads by a folder's `auto_map`, has the model of which task."""

from __future__ import annotations

from minform_cli.exporting.hugging_face.translator import MinformForConditionalGeneration
from minform_cli.exporting.hugging_face.wrapper import (
    MinformConfig,
    MinformForCausalLM,
    MinformForImageClassification,
    MinformForMaskedLM,
    MinformForSequenceClassification,
    MinformModel,
    MinformPreTrainedModel,
)

__all__ = [
    "CLASSES",
    "MinformConfig",
    "MinformForCausalLM",
    "MinformForConditionalGeneration",
    "MinformForImageClassification",
    "MinformForMaskedLM",
    "MinformForSequenceClassification",
    "MinformModel",
]

CLASSES: dict[str, tuple[type[MinformPreTrainedModel], str]] = {
    "embed-sentences": (MinformModel, "AutoModel"),
    "classify-sentences": (MinformForSequenceClassification, "AutoModelForSequenceClassification"),
    "masked-tokens": (MinformForMaskedLM, "AutoModelForMaskedLM"),
    "next-tokens": (MinformForCausalLM, "AutoModelForCausalLM"),
    "classify-images": (MinformForImageClassification, "AutoModelForImageClassification"),
    "translate": (MinformForConditionalGeneration, "AutoModelForSeq2SeqLM"),
}
"""The class of each task, and the `Auto...` class that finds it."""
