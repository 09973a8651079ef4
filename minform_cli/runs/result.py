"""What every result says of its data, its measures and its model, whether it was trained or made."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec
from minform_cli.tasks import TASKS

if TYPE_CHECKING:
    from torch import nn


def data_record(config: RunConfig, spec: DataSpec, fingerprint: str) -> dict[str, Any]:
    """What a result says of its data."""
    sizes = {key: value for key, value in asdict(spec).items() if key.startswith("num_")}
    names = {"kind": spec.kind, "name": spec.name, "title": spec.title, "num_classes": spec.num_classes}
    return {
        **names,
        **sizes,
        "own_val": spec.own_val,
        "validation": config.data.validation,
        "fingerprint": fingerprint,
    }


def measured_by(config: RunConfig) -> dict[str, str]:
    """Signatures of what the task measures by other means than ours; empty where all is ours."""
    if not TASKS.info(config.task).decodes:
        return {}
    from minform_cli.tasks.translate import Translate

    task = TASKS.get(config.task)
    assert isinstance(task, Translate), "what decodes, translates"
    return task.measured_by(config.data.bleu_tokenizer)


def num_parameters(model: nn.Module) -> int:
    """Unique trainable numbers of the model as it is trained, a head that counts leave out included."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
