"""Healing: a reduced run is trained to follow the run it was reduced from, with all its weights as they are.

It is a training like any other: its own folder, checkpoints, and resume to the same bits. Nothing decays, and there is
no dropout: what is learned is what the other model does, not new data.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from minform_cli.config.schema import DataConfig, DistillConfig, RunConfig, TrainConfig
from minform_cli.data.source import Source
from minform_cli.runs.progress import Listener
from minform_cli.runs.records import ResultRecord
from minform_cli.runs.stored import StoredRun, with_tokenizer
from minform_cli.training.prepare import Prepared, prepare

SHARE_OF_RATE = 0.2
"""Of the learning rate that the original was trained with."""

RATE = 5e-4
"""Peak learning rate where nobody knows that of the original. As `HIDDEN`, the best of several on 2,000 training
sentences of SST-2 kept apart, for an encoder at half of its blocks' parameters (docs/reducing.md)."""

HIDDEN = 12.0
"""Weight of the hidden states beside the outputs."""

WARMUP = 0.1
"""Share of the steps."""

EVAL_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class Healing:
    """How a reduced run is healed.

    Attributes:
        steps: optimiser steps.
        learning_rate: its peak; None: a fifth of the original's, or what was found to heal imported models well.
        batch_size: examples a step.
        labels: weight of the loss on the task's own labels, beside the original's outputs and hidden states.
        hidden: weight of the hidden states, beside the outputs.
        temperature: that outputs of classes or tokens are divided by before they are compared.
        seed: of the order of the examples.
    """

    steps: int
    learning_rate: float | None = None
    batch_size: int = 32
    labels: float = 0.0
    hidden: float = HIDDEN
    temperature: float = 1.0
    seed: int = 0


def heal(
    reduced: StoredRun,
    original: StoredRun,
    data: DataConfig | Source,
    out: Path,
    how: Healing,
    *,
    device: str = "auto",
    threads: int | None = None,
    on_progress: Listener | None = None,
) -> ResultRecord:
    """Heals `reduced` in the folder `out`; goes on with what was begun there, to the same bits.

    Args:
        reduced: the reduced run, all of whose weights are taken.
        original: the run it was reduced from, which is followed; its folder is needed again to go on.
        data: what both are shown: all training examples, with or without labels of the task; opened (`data.source`),
            where they are lines of a text or images of a folder that no data set reads.
        out: folder of the healed run; `reduced` and `original` may lie in it.
        how: steps and weights.
        device, threads, on_progress: as of `training.run.train`.

    Returns:
        What ``result.json`` holds; its `data` say how many examples there were.

    Raises:
        InputError, NumericalError, MachineError, Interrupted: as of `training.run.train`.
    """
    from minform_cli.training.run import train

    run = healing(reduced, original, data, how)
    return train(run, out, resume=True, device=device, threads=threads, on_progress=on_progress)


def healing(reduced: StoredRun, original: StoredRun, data: DataConfig | Source, how: Healing) -> Prepared:
    """The training that heals, prepared; arguments as of `heal`. Imports no torch.

    Raises:
        InputError: the data are not there, or no examples for the reduced run; or a number is out of range.
    """
    if isinstance(data, Source):
        return prepare(_config(reduced, original, data.data, how), data)
    return prepare(_config(reduced, original, _seen_by(reduced, data), how))


def _seen_by(run: StoredRun, data: DataConfig) -> DataConfig:
    """`data`, normalised or cut into tokens as those of the run."""
    own = run.config.data
    if not run.folder.tokenizer.is_file():
        return data.model_copy(update={"normalize": own.normalize})
    longest = getattr(run.spec, "seq_len", data.seq_len)
    sizes = {"vocab_size": own.vocab_size, "seq_len": min(data.seq_len, longest)}
    return with_tokenizer(data, run, always=True).model_copy(update=sizes)


def _config(reduced: StoredRun, original: StoredRun, data: DataConfig, how: Healing) -> RunConfig:
    run = reduced.config
    return run.model_copy(
        update={
            "seed": how.seed,
            "init": None,
            "continues": _place(reduced),
            "teacher": _place(original),
            "data": data,
            "model": run.model.model_copy(update={"dropout": 0.0}),
            "train": TrainConfig(
                steps=how.steps,
                warmup_steps=round(WARMUP * how.steps),
                batch_size=how.batch_size,
                learning_rate=_rate(original) if how.learning_rate is None else how.learning_rate,
                clip_norm=1.0,
                eval_batch_size=EVAL_BATCH,
            ),
            "distill": DistillConfig(labels=how.labels, hidden=how.hidden, temperature=how.temperature),
        }
    )


def _place(run: StoredRun) -> str:
    """The same whatever the working directory will be."""
    return os.path.abspath(run.folder.path)  # noqa: PTH100  (links stay)


def _rate(original: StoredRun) -> float:
    """A fifth of the learning rate that the original was trained with; `RATE` where it was not trained by us."""
    trained = original.meta.get("origin") is None
    return SHARE_OF_RATE * original.config.train.learning_rate if trained else RATE
