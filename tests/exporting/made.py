"""Runs with a checkpoint and no training: random weights, every bias and scale away from its start."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from minform_cli.config.presets import resolve
from minform_cli.config.schema import DataConfig, ModelConfig, RunConfig
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec
from minform_cli.data.text.tokenizer import Vocabulary, trained
from minform_cli.files import RunFolder
from minform_cli.models.build import build_model
from minform_cli.runs.checkpoint import CheckpointStore, State
from minform_cli.runs.folder import begin
from minform_cli.runs.tensors import weights_of

WORDS = TextSpec(name="text", title="words", source="made here", vocab_size=40, seq_len=12)
SENTENCES = TextSpec(
    name="glue-sst2", title="sentences", source="made here", vocab_size=40, seq_len=12, class_names=("bad", "good")
)
IMAGES = ImageSpec(
    name="digits",
    title="squares",
    source="made here",
    channels=3,
    height=8,
    width=8,
    class_names=("a", "b", "c"),
    num_train=10,
    num_val=10,
)
SIZES = {"dim": 12, "depth": 2, "heads": 2, "patch_size": 4, "mlp_multiple": 2}
BERT: dict[str, Any] = SIZES | {
    "embedding": {"kind": "tokens", "types": 2, "norm": True},
    "norm": {"kind": "post", "eps": 1e-12},
    "bias": "all",
    "readout": "pooler",
}
GPT2: dict[str, Any] = SIZES | {"embedding": "tokens", "mask": "causal", "bias": "all", "readout": "tokens"}
VIT: dict[str, Any] = SIZES | {"bias": "all"}


TEXTS = ("A small model reads a text.", "Another one is larger, and it reads another text.")


def tokenizer() -> Vocabulary:
    """One with as many entries as `WORDS` has, or fewer."""
    letters = "".join(sorted(set("".join(TEXTS).lower())))
    few = DataConfig(name="text", tokenizer="wordpiece", vocab_size=5 + 2 * len(letters))
    return trained(few, [*TEXTS] * 5)


@dataclass(frozen=True)
class MadeUp:
    """As far as `runs.folder.begin` looks at data."""

    spec: DataSpec
    fingerprint: str = hashlib.sha256(b"").hexdigest()
    test: object | None = None
    notes: tuple[str, ...] = ()
    tokenizer: bytes | None = None
    mean: tuple[float, ...] = (0.5, 0.4, 0.3)
    std: tuple[float, ...] = (0.25, 0.3, 0.2)


def stored(
    folder: Path,
    task: str,
    model: dict[str, Any] | ModelConfig,
    spec: DataSpec,
    tokenizer: bytes | None = None,
    change: Callable[[list[torch.Tensor]], object] = lambda _: None,
    baseline: dict[str, Any] | None = None,
) -> RunConfig:
    """Makes such a run of a model for `task`; `change` is given its weights."""
    base = resolve("digits").config
    data = base.data.model_copy(update={"name": spec.name})
    config = base.model_copy(
        update={"task": task, "data": data, "model": ModelConfig.model_validate(model), "preset": "made-up"}
    )
    if baseline is not None:
        config = config.model_copy(update={"baseline": ModelConfig.model_validate(baseline)})
    torch.manual_seed(0)
    built = build_model(config, spec)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        change([*built.parameters()])
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    made = MadeUp(spec, tokenizer=tokenizer)
    if isinstance(spec, ImageSpec):
        made = replace(made, mean=made.mean[: spec.channels], std=made.std[: spec.channels])
    meta = begin(run, config, made, {})  # type: ignore[arg-type]
    CheckpointStore(run, meta["sha256"], []).save(State(), weights_of(built), {}, None)
    return config
