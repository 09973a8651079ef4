"""The run that another one follows: whether it can be followed, and its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from minform_cli.config.schema import RunConfig
from minform_cli.counting.form import whole_form
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec
from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.runs.stored import StoredRun, finished_run
from minform_cli.tasks import TASKS
from minform_cli.training.distillation import Distillation
from minform_cli.training.objective import Labels, Objective

if TYPE_CHECKING:
    from minform_cli.data.images.pixels import ImageData
    from minform_cli.data.load import Data

OPTION = "--teacher"


@dataclass(frozen=True)
class Taught:
    """A run that can be followed.

    Attributes:
        run: the finished run.
        spec: of its data.
        digest: SHA-256 of its weights, whose file was found whole.
    """

    run: StoredRun
    spec: DataSpec
    digest: str

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"{OPTION} {self.run.folder.path}"


def taught_by(config: RunConfig, data: Data, meta: Mapping[str, Any] | None, *, labelled: bool) -> Taught | None:
    """The teacher of a run, once the run is known to be able to follow it; None: it has none.

    Args:
        config: of the run.
        data: its data.
        meta: ``run.json`` of the run if it goes on.
        labelled: whether the labels of the data are the task's own.

    Raises:
        InputError: the folder is gone, damaged, its run is not finished or has other weights than when the run that
            goes on was begun; or it is of another task, vocabulary, shape or normalisation, or its hidden states are.
    """
    if config.teacher is None:
        return None
    if not labelled and config.distill.labels:
        raise InputError(
            f"distill.labels {config.distill.labels:g}: {data.spec.title} has no labels of task {config.task!r}; "
            "accepted: 0"
        )
    run = finished_run(Path(config.teacher), OPTION)
    run.weights()  # that their file is whole
    found = Taught(run, _spec(run), run.checkpoint().files["weights"]["sha256"])
    if meta is not None and meta.get("teacher") != found.digest:
        raise InputError(f"{found.where}: its weights are not those that the run was begun with")
    _check_answers(found, config, data)
    _check_examples(found, config, data)
    _check_states(found, config, data.spec)
    return found


def objective(
    config: RunConfig, spec: DataSpec, student: nn.Module, taught: Taught | None, *, labelled: bool
) -> Objective:
    """What a run minimises.

    Args:
        config: of the run.
        spec: of its data.
        student: its model.
        taught: its teacher, if it has one.
        labelled: as for `taught_by`.
    """
    if taught is None:
        return Labels(config, spec)
    device = next(student.parameters()).device
    teacher = taught.run.model(taught.spec, device)
    return Distillation(config, spec, student, teacher, labelled=labelled)


def _spec(run: StoredRun) -> DataSpec:
    if run.spec is None:
        raise InputError(
            f"{OPTION} {run.folder.path}: its {run.folder.meta.name} is of format {run.meta['format']}, which does not "
            "say what its data are; accepted: a run of this version"
        )
    return run.spec


def _check_answers(taught: Taught, config: RunConfig, data: Data) -> None:
    own, theirs = data.spec, taught.spec
    if taught.run.config.task != config.task:
        raise InputError(
            f"{taught.where}: its task is {taught.run.config.task}; accepted: {config.task}, as of this run"
        )
    if TASKS.info(config.task).has_labels and (own.class_names, own.num_outputs) != (
        theirs.class_names,
        theirs.num_outputs,
    ):
        raise InputError(
            f"{taught.where}: it gives {theirs.num_outputs:,} outputs for {theirs.title}, and this run "
            f"{own.num_outputs:,} for {own.title}; accepted: a run with the same classes or vocabulary"
        )


def _check_examples(taught: Taught, config: RunConfig, data: Data) -> None:
    """Raises `InputError` unless both see an example alike."""
    own, theirs, run = data.spec, taught.spec, taught.run
    if isinstance(own, TextSpec) and isinstance(theirs, TextSpec):
        folder: RunFolder = run.folder
        if folder.tokenizer.read_bytes() != data.tokenizer:
            raise InputError(f"{taught.where}: its tokenizer is another one; accepted: the same tokens")
    elif isinstance(own, ImageSpec) and isinstance(theirs, ImageSpec):
        here, there = ((each.channels, each.height, each.width) for each in (own, theirs))
        if here != there:
            raise InputError(f"{taught.where}: its images are {there} (channels, height, width); accepted: {here}")
        images = cast("ImageData", data)
        alike = run.config.data.normalize == config.data.normalize and run.normalisation == (images.mean, images.std)
        if not alike:
            raise InputError(f"{taught.where}: its images are normalised otherwise; accepted: a run on the same images")


def _check_states(taught: Taught, config: RunConfig, spec: DataSpec) -> None:
    if not config.distill.hidden:
        return
    sizes: list[tuple[int, int]] = []
    for model, seen in ((config.model, spec), (taught.run.config.model, taught.spec)):
        tokens = whole_form(model, seen, config.task).embedding.tokens if isinstance(seen, ImageSpec) else 0
        sizes.append((model.dim, tokens))
    (dim, tokens), (their_dim, their_tokens) = sizes
    if sizes[0] == sizes[1]:
        return
    what = f"{their_dim} wide, here {dim}" if dim != their_dim else f"of {their_tokens} tokens, here of {tokens}"
    raise InputError(
        f"distill.hidden {config.distill.hidden:g}: the hidden states of {taught.run.folder.path} are {what}; "
        "accepted: distill.hidden=0"
    )
