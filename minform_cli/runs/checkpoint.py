"""Checkpoints: everything a run needs to go on to the same bits, with one commit point.

A save writes the tensors under new names first, each synced to disk; then ``checkpoint.json``, which names them with
size and SHA-256, replaces the one before in a single rename; then what nobody names any more is deleted. Whatever
happens in between, the old or the new checkpoint is whole. The random state is not saved because there is none: data
order, augmentation and dropout are pure functions of seed and step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from torch import nn
from torch.optim import Optimizer

from minform_cli.errors import InputError, MachineError
from minform_cli.files import RunFolder, write_json
from minform_cli.runs.folder import CHECKPOINT, TENSOR_FILES
from minform_cli.runs.journal import Journal, Mark
from minform_cli.runs.seal import read_sealed, sealed
from minform_cli.runs.tensors import (
    FileEntry,
    Tensors,
    expected_moments,
    put_moments,
    put_weights,
    read_tensors,
    weights_of,
    write_tensors,
)


@dataclass
class Best:
    """The best epoch so far, by the validation score, then by lower loss; the first wins ties."""

    epoch: int
    val_score: float
    val_loss: float

    def beaten_by(self, other: Best) -> bool:
        """Whether `other` is better."""
        return (-other.val_score, other.val_loss) < (-self.val_score, self.val_loss)


@dataclass
class State:
    """Where a run stands. Exact in JSON: integers, and floats that are read back to the bit.

    Attributes:
        step: optimiser steps done.
        epoch: epochs finished, their validation included; an epoch whose steps are done but which was not validated
            is validated on resume.
        loss_sum, num_correct, num_seen: over the labels of the epoch under way.
        num_examples: of the epoch under way.
        metrics: of the last finished epoch.
        best: the best finished epoch.
        out_of_time: whether no step follows, as the run has had all the time that it was given.
        epoch_s, train_s, total_s: seconds in the training steps of the epoch under way, in those of all finished
            epochs, and altogether.
    """

    step: int = 0
    epoch: int = 0
    loss_sum: float = 0.0
    num_correct: int = 0
    num_seen: int = 0
    num_examples: int = 0
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    best: Best | None = None
    out_of_time: bool = False
    epoch_s: float = 0.0
    train_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """What ``checkpoint.json`` says.

    `files` has `weights`, `optimizer` and, after the first epoch, `best`; where the weights are an average over steps,
    `stepped`, too: those that the next step changes.
    """

    state: State
    files: dict[str, FileEntry]
    journals: dict[str, Mark]


class CheckpointStore:
    """Writes the checkpoints of one run.

    Args:
        folder: the run folder.
        run_sha256: seal of its ``run.json``; a checkpoint of another run is refused.
        journals: synced and marked with every checkpoint.
        committed: the checkpoint to go on from.
    """

    def __init__(
        self, folder: RunFolder, run_sha256: str, journals: Iterable[Journal], committed: Checkpoint | None = None
    ) -> None:
        self._folder = folder
        self._run_sha256 = run_sha256
        self._journals = tuple(journals)
        self._files: dict[str, FileEntry] = committed.files if committed else {}
        self._position = (committed.state.step, committed.state.epoch) if committed else None

    def holds(self, state: State) -> bool:
        """Whether the last checkpoint was taken where `state` stands."""
        return self._position == (state.step, state.epoch)

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the last weights file."""
        return self._files["weights"]["sha256"]

    def save(
        self,
        state: State,
        weights: Tensors,
        optimizer: Tensors,
        best: Tensors | None,
        stepped: Tensors | None = None,
    ) -> None:
        """Makes this the run's checkpoint.

        Args:
            state: where the run stands.
            weights: of the model, as it is measured.
            optimizer: its moments.
            best: weights of the best epoch if it is newer than the last checkpoint, else None.
            stepped: those that the next step changes, where they are not `weights`.

        Raises:
            MachineError: the disk is full, no permission, an input/output error; the earlier checkpoint is intact.
        """
        try:
            files = dict(self._files)
            given = {"weights": weights, "optimizer": optimizer, "best": best, "stepped": stepped}
            for role, tensors in given.items():
                if tensors is not None:
                    files[role] = write_tensors(self._folder, f"{role}-{state.step}.safetensors", tensors)
            content = {
                "run": self._run_sha256,
                "state": asdict(state),
                "files": files,
                "journals": {journal.path.name: journal.sync() for journal in self._journals},
            }
            write_json(self._folder.checkpoint, sealed(CHECKPOINT, content))
        except OSError as error:
            raise MachineError(
                f"cannot save to {self._folder.path}: {error.strerror or error}; the last checkpoint stays"
            ) from error
        self._files = files
        self._position = (state.step, state.epoch)
        remove_unnamed(self._folder, files)


def remove_unnamed(folder: RunFolder, files: Mapping[str, FileEntry]) -> None:
    """Deletes tensor files that no checkpoint names, and temporary files of a process that was killed."""
    named = {entry["name"] for entry in files.values()}
    for path in (path for pattern in TENSOR_FILES for path in folder.path.glob(pattern)):
        if path.name not in named:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # the checkpoint is committed; what cannot be deleted now is deleted after the next one


def read_checkpoint(folder: RunFolder, run_sha256: str) -> Checkpoint:
    """The checkpoint of the run whose ``run.json`` has the seal `run_sha256`.

    Raises:
        InputError: there is none, it is damaged, of another format version, or of another run.
    """
    path = folder.checkpoint
    content = read_sealed(path, CHECKPOINT)
    if content["run"] != run_sha256:
        raise InputError(f"checkpoint {path} belongs to another run than {folder.meta}")
    fields = dict(content["state"])
    fields["best"] = Best(**fields["best"]) if fields["best"] else None
    return Checkpoint(State(**fields), content["files"], content["journals"])


def restore(
    folder: RunFolder,
    checkpoint: Checkpoint,
    model: nn.Module,
    optimizer: Optimizer,
    average: Tensors | None = None,
) -> None:
    """Puts the checkpoint's numbers into `model`, `optimizer` and `average`, once every file of it is found whole.

    Raises:
        InputError: a file is missing, damaged, or of another model; nothing has changed.
    """
    weights = read_tensors(folder, checkpoint.files["weights"], weights_of(model))
    stepped = weights if average is None else read_tensors(folder, checkpoint.files["stepped"], weights_of(model))
    expected = expected_moments(model, optimizer, checkpoint.state.step)
    moments = read_tensors(folder, checkpoint.files["optimizer"], expected)
    if "best" in checkpoint.files:
        read_tensors(folder, checkpoint.files["best"], weights_of(model))  # found now, not when somebody asks for it
    put_weights(model, stepped)
    for name, tensor in (average or {}).items():
        tensor.copy_(weights[name])
    put_moments(model, optimizer, moments)
