"""The model that transformers itself builds of a folder, asked as ours is: for comparing outputs.

Nothing is downloaded, no code of the folder runs, and weights are read from safetensors alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minform_cli.errors import InputError
from minform_cli.foreign.adapters.base import Given
from minform_cli.foreign.hugging_face import offline


class Asked(nn.Module):
    """A text model of transformers that takes what ours takes and gives what ours gives.

    Args:
        model: theirs.
        task: ours.
        readout: kind of ours.
        pad: entry that fills up.
    """

    def __init__(self, model: nn.Module, task: str, readout: str, pad: int) -> None:
        super().__init__()
        self.model, self.task, self.readout, self.pad = model, task, readout, pad

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        types: Int[Tensor, "b t"] | None = None,
        real: Bool[Tensor, "b t"] | None = None,
        predict: Int[Tensor, " p"] | None = None,
    ) -> Float[Tensor, ...]:
        """As of `TextEncoder`."""
        seen = torch.ones_like(tokens, dtype=torch.bool) if real is None else real
        given: dict[str, Tensor] = {"input_ids": tokens.masked_fill(~seen, self.pad), "attention_mask": seen.long()}
        if types is not None:
            given["token_type_ids"] = types
        found: Any = self.model(**given)
        if self.task == "embed-sentences":
            return self._pooled(found, seen)
        logits: Tensor = found.prediction_logits if "prediction_logits" in found else found.logits
        if self.task == "classify-sentences":
            return logits
        flat = logits.flatten(0, 1)
        return flat if predict is None else flat[predict]

    def _pooled(self, found: Any, seen: Bool[Tensor, "b t"]) -> Float[Tensor, "b n"]:
        tokens: Tensor = found.last_hidden_state
        if self.readout == "pooler":
            return found.pooler_output
        if self.readout == "class-token":
            return tokens[:, 0]
        weights = seen.to(tokens.dtype).unsqueeze(-1)
        return (tokens * weights).sum(1) / weights.sum(1)


def library() -> str:
    """Name and version of the library; empty where it is not installed."""
    if importlib.util.find_spec("transformers") is None:
        return ""
    return f"transformers {importlib.import_module('transformers').__version__}"


def original(given: Given, task: str, readout: str, pad: int) -> Callable[[], nn.Module] | None:
    """What builds the library's own model of the folder of `given`; None where the library is not installed."""
    folder = given.folder
    if folder is None or not library():
        return None
    return lambda: Asked(load(folder, given.architecture), task, readout, pad)


def load(folder: Path, architecture: str, attention: str = "eager") -> nn.Module:
    """The library's model of this class in `folder`, in float32 and evaluation mode.

    Args:
        folder: where its files are.
        architecture: its class.
        attention: which of the library's codes for it; some keep float32 in a softmax of float64.

    Raises:
        InputError: the library does not load it, or leaves weights unset.
    """
    with offline(), _silent():
        transformers = importlib.import_module("transformers")
        try:
            model, info = getattr(transformers, architecture).from_pretrained(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation=attention,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as error:  # whatever the library raises of a folder
            raise InputError(f"transformers does not load it: {' '.join(str(error).split())[:200]}") from None
    unset = sorted(info["missing_keys"])
    if unset:
        model.unset = unset
    return model.eval()


@contextmanager
def _silent() -> Generator[None]:
    """Without the library's warnings and progress bars: what matters of them we say."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    bars: Any = importlib.import_module("transformers.utils.logging")
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown:
            bars.enable_progress_bar()
