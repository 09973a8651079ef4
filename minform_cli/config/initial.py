"""Starting from another run: what a new run takes over from it, beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from minform_cli.config.axes.embedding import Embedding
from minform_cli.config.names import is_named
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.config.setting import Setting
from minform_cli.errors import InputError
from minform_cli.files import RunFolder

OWN = ("readout", "dropout")
"""What a new task may have otherwise than the run it starts from."""

HEAD = "reference_class"
"""Option of a readout that says how the head stores its classes."""


@dataclass(frozen=True)
class Start:
    """The run to start from, finished or still to come.

    Attributes:
        folder: where it lies.
        config: of it.
        tokenizer: its tokenizer's file, for text; None: the one in `folder`.
    """

    folder: Path
    config: RunConfig
    tokenizer: Path | None = None


def is_own(start: Start) -> bool:
    """Whether the run's model is no variant that has a name, but its own: ranks and widths chosen block by block."""
    return not is_named(start.config.variant)


def own_model(config: RunConfig, origin: str, *, baseline: bool = False) -> dict[str, Setting]:
    """The model of a run, or its `baseline`, by dotted key, but for what is a task's own.

    Of images a readout is the model's: its learned tokens stand before the patches, and every block sees them. How
    its head, which starts anew, stores classes is a task's own.
    """
    model = (config.baseline if baseline else None) or config.model
    fields = _body(model)
    if _sees_images(model):
        readout: Any = model.readout.model_dump(mode="json")  # a name, where it has no options
        if isinstance(readout, dict):
            readout = {key: value for key, value in cast("dict[str, Any]", readout).items() if key != HEAD}
        fields["readout"] = readout
    return {f"model.{key}": Setting(value, origin) for key, value in fields.items()}


def inherited(start: Start) -> dict[str, Setting]:
    """What goes over the preset's settings, by dotted key: the sizes and parts of the run's baseline and, for text, its
    vocabulary and tokenizer.
    """
    origin = f"--init {start.folder}"
    return own_model(start.config, origin, baseline=True) | vocabulary(start, origin)


def vocabulary(start: Start, origin: str) -> dict[str, Setting]:
    """What of a run's vocabulary goes over the preset's settings, by dotted key; nothing for images."""
    if _sees_images(start.config.model):
        return {}
    tokenizer = str(start.tokenizer or RunFolder(start.folder).tokenizer)
    return {
        "data.vocab_size": Setting(start.config.data.vocab_size, origin),
        "data.tokenizer": Setting(tokenizer, origin),
    }


def _sees_images(model: ModelConfig) -> bool:
    return "images" in cast(Embedding, model.embedding).takes


def check_same_model(start: Start, config: RunConfig) -> None:
    """Raises `InputError` unless the weights of `start` fit the model of `config`."""
    before, now = _body(start.config.model), _body(config.model)
    for key, value in before.items():
        if now[key] != value:
            variant = start.config.variant
            same = "no other sizes" if is_own(start) else f"--variant {variant} and no other sizes"
            raise InputError(
                f"--init {start.folder}: has model.{key} {value!r} as variant {variant!r}, and this run {now[key]!r} "
                f"as {config.variant!r}; accepted: {same}"
            )


def _body(model: ModelConfig) -> dict[str, object]:
    """Its fields but for a task's own, also those that stand in no file where they are None."""
    every = dict.fromkeys(key for key in ModelConfig.model_fields if key not in OWN)
    return {**every, **model.model_dump(mode="json", exclude=set(OWN))}
