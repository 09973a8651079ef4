"""What is exported: a stored run's model, and all that is known of what it takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from minform_cli.config.axes.embedding import Embedding
from minform_cli.config.axes.position import Position
from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec
from minform_cli.data.text.tokenizer import Special, from_json
from minform_cli.errors import InputError, unread
from minform_cli.exporting.graph import Graph, graph_of
from minform_cli.runs.stored import Normalisation, StoredRun, Which

if TYPE_CHECKING:
    from torch import nn

Batch = dict[str, Tensor]
"""Inputs of a graph, by name."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A stored run's model, ready to be written in any format.

    Attributes:
        run: where it comes from.
        spec: of its examples.
        model: float32, on the CPU, in evaluation mode.
        graph: the model with inputs as other libraries name them.
        normalisation: of images, what the model's inputs were made with, in units of 0..1; None for text.
        inside: whether the graph normalises by itself.
        tokenizer: content of its ``tokenizer.json``; None where it has none.
        which: whether the weights are the last or the best.
        expand: whether parts may be written as larger ones that other libraries know.
    """

    run: StoredRun
    spec: DataSpec
    model: nn.Module
    graph: Graph
    normalisation: Normalisation | None
    inside: bool
    tokenizer: str | None
    which: Which
    expand: bool

    @property
    def config(self) -> RunConfig:
        """Of the run."""
        return self.run.config

    @property
    def text(self) -> TextSpec:
        """The spec of a model of text."""
        return cast(TextSpec, self.spec)

    @property
    def pad(self) -> int | None:
        """The entry of the vocabulary that fills up; None where there is none.

        Without a tokenizer: where positions begin behind that of this entry, as RoBERTa's do, they tell it.
        """
        if self.tokenizer is not None:
            return special_entries(self.tokenizer, self.run).pad
        unused = getattr(self.config.model.position, "unused", 0)
        return unused - 1 if unused else None

    @property
    def longest(self) -> int:
        """Tokens of the longest text that the model takes."""
        position = cast(Position, self.config.model.position)
        return max(self.text.seq_len, position.most_tokens() or 0)

    @property
    def numbers(self) -> int:
        """Unique numbers of the model."""
        return sum(parameter.numel() for parameter in self.model.parameters())


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a format's module wrote, and how it is read back.

    Attributes:
        file: the one with the numbers.
        numbers: how many it holds.
        loader: what loads it: a class, a function.
        run: gives the outputs for a batch, from the written files alone.
        load: Python that loads and calls it.
        expanded: parts that were written as larger ones, in words.
        filled: numbers that the class has and the model lacks, by where they are: zeros and ones.
        notes: what a user should know.
    """

    file: str
    numbers: int
    loader: str
    run: Callable[[Batch], Tensor]
    load: str
    expanded: tuple[str, ...] = ()
    filled: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: tuple[str, ...] = ()


def exported(run: StoredRun, which: Which, *, inside: bool, expand: bool) -> Exported:
    """What is exported of `run`.

    Args:
        run: finished, or with a checkpoint.
        which: weights of the last step or of the best epoch.
        inside: whether the graph is to normalise images by itself.
        expand: as of `Exported`.

    Raises:
        InputError: the run is incomplete or damaged, or is of text and `inside` is asked for.
    """
    spec = run.spec
    if spec is None:
        raise InputError(
            f"{run.folder.path}: its {run.folder.meta.name} is of format {run.meta['format']}, which does not say what "
            "the run's data are; accepted: a run of this version, for example one started from it by --init"
        )
    if inside and not isinstance(spec, ImageSpec):
        raise InputError(f"--normalise: is for models of images, and {run.folder.path} is of {spec.kind}")
    model = run.model(spec, torch.device("cpu"), which).eval()
    normalisation = pixels_of(run)
    tokenizer = run.folder.tokenizer
    return Exported(
        run=run,
        spec=spec,
        model=model,
        graph=graph_of(model, run.config, normalisation if inside else None).eval(),
        normalisation=normalisation,
        inside=inside,
        tokenizer=_text(tokenizer) if tokenizer.is_file() else None,
        which=which,
        expand=expand,
    )


def pixels_of(run: StoredRun) -> Normalisation | None:
    """What a run's images are normalised with; `data.normalize` decides between the data's own and [-1, 1]."""
    if run.normalisation is None or run.config.data.normalize != "unit-range":
        return run.normalisation
    half = (0.5,) * len(run.normalisation.mean)
    return Normalisation(half, half)


def special_entries(tokenizer: str, run: StoredRun) -> Special:
    """The special entries of a run's tokenizer; `InputError` where it is damaged."""
    return from_json(tokenizer.encode(), str(run.folder.tokenizer)).special


def told_apart(config: RunConfig) -> int:
    """How many sentences of one example the model tells apart; 1 where it does not."""
    return cast(Embedding, config.model.embedding).sentences or 1


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise unread(error, f"{path} cannot be read: {error}") from None
