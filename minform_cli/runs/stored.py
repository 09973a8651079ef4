"""A run as its folder tells it, wherever it lies: its settings, what its data are, its weights, its model.

Neither the data set nor torch is needed until weights are asked for. This is the one way from a folder to a model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from minform_cli.config.initial import Start
from minform_cli.config.schema import PLACES, TOKENIZERS, DataConfig, RunConfig
from minform_cli.data.spec import DataSpec, spec_of
from minform_cli.errors import InputError
from minform_cli.files import RunFolder, user_path
from minform_cli.runs.folder import read_meta, stored_config

if TYPE_CHECKING:
    import torch
    from torch import nn

    from minform_cli.runs.checkpoint import Checkpoint
    from minform_cli.runs.tensors import Tensors

Which = Literal["last", "best"]


class Normalisation(NamedTuple):
    """Of images: per channel, in units of 0..1, what the run subtracts and divides by."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class StoredRun:
    """What ``run.json`` says.

    Attributes:
        folder: of the run.
        meta: the whole of it.
        config: every setting, as resolved then.
        spec: of its data: shapes, classes or vocabulary, sizes; None in a folder of format 2, which does not say.
        normalisation: of images; None for text, and in a folder of format 2.
    """

    folder: RunFolder
    meta: Mapping[str, Any]
    config: RunConfig
    spec: DataSpec | None
    normalisation: Normalisation | None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the data it is trained on."""
        return str(self.meta["fingerprint"])

    @property
    def initial(self) -> str | None:
        """SHA-256 of the weights it was started from; None: from chance."""
        digest: str | None = self.meta.get("initial")
        return digest

    @property
    def origin(self) -> Mapping[str, Any] | None:
        """How it was made (`runs.made.Made.origin`); None: it was trained here."""
        origin: Mapping[str, Any] | None = self.meta.get("origin")
        return origin

    @property
    def teacher(self) -> str | None:
        """SHA-256 of the weights of the run that it follows; None: it follows none."""
        digest: str | None = self.meta.get("teacher")
        return digest

    def start(self) -> Start:
        """The run as what another one starts from."""
        return Start(self.folder.path, self.config)

    def data(self) -> DataConfig:
        """Its data section with the places where its data are now, and its own tokenizer if that has moved.

        A place is where it was when the run began, whatever the working directory is now; or, where nothing is left,
        what the user wrote then.

        Raises:
            InputError: the data are at neither.
        """
        found = {key: self.place(key) for key in PLACES}
        return with_tokenizer(self.config.data.model_copy(update=found), self)

    def place(self, key: str) -> str | None:
        """Where what the setting `key` of its data section names is now; None: the run has no such setting.

        Raises:
            InputError: it is neither where it was when the run began nor at what the user wrote then.
        """
        spelled, place = getattr(self.config.data, key), self.meta.get("places", {}).get(key)
        if spelled is None:
            return None
        for each in (place, spelled):
            if each is not None and os.path.exists(user_path(each)):  # noqa: PTH110  (of a name too long: no)
                return each
        raise InputError(
            f"{self.folder.path}: its data are no longer at data.{key} {(place or spelled)!r}; "
            f"minform eval --set data.{key}=... says where they are now"
        )

    def checkpoint(self) -> Checkpoint:
        """Its newest checkpoint.

        Raises:
            InputError: there is none, or it is damaged.
        """
        from minform_cli.runs.checkpoint import read_checkpoint

        if not self.folder.checkpoint.is_file():
            raise InputError(f"{self.folder.path} has no checkpoint yet: the run is incomplete; go on with --resume")
        return read_checkpoint(self.folder, self.meta["sha256"])

    def check_has(self, which: Which, checkpoint: Checkpoint) -> None:
        """Raises `InputError` if it has no best weights, and those are asked for."""
        if which == "last" or "best" in checkpoint.files:
            return
        if self.origin is not None:
            raise InputError(f"{self.folder.path} was not trained here, so no epoch was its best; accepted: last")
        raise InputError(f"{self.folder.path} has no best weights yet: its first epoch is not finished")

    def weights(self, which: Which = "last", expected: Mapping[str, torch.Tensor] | None = None) -> Tensors:
        """The weights of the last step, or of the best epoch by validation score, on the CPU.

        Of the newest checkpoint: while a run trains, the files of an older one disappear.

        Args:
            which: of the two.
            expected: tensors whose names, shapes and types must be matched; None: whatever there is.

        Raises:
            InputError: they are missing, damaged, or not as expected.
        """
        from minform_cli.runs.tensors import read_tensors

        role = "weights" if which == "last" else "best"
        checkpoint = self.checkpoint()
        self.check_has(which, checkpoint)
        while True:
            try:
                return read_tensors(self.folder, checkpoint.files[role], expected)
            except InputError:
                newer = self.checkpoint()
                if newer.files == checkpoint.files:
                    raise
                checkpoint = newer

    def model(self, spec: DataSpec, device: torch.device, which: Which = "last") -> nn.Module:
        """Its model with its weights, on `device`.

        Args:
            spec: its own; or, for a folder of format 2, what the data set says.
            device: where it is built.
            which: as for `weights`.

        Raises:
            InputError: as `weights` raises it.
        """
        from minform_cli.models.build import build_model
        from minform_cli.runs.tensors import put_weights, weights_of

        with device:
            model = build_model(self.config, spec)
        put_weights(model, self.weights(which, weights_of(model)))
        return model


def read_run(run: Path) -> StoredRun:
    """The run in the folder `run`, finished or not.

    Raises:
        InputError: it is no run's folder, or damaged, or of a version that this one does not read.
    """
    folder = RunFolder(run)
    meta = read_meta(folder)
    normalisation = meta.get("normalisation")
    return StoredRun(
        folder,
        meta,
        stored_config(folder, meta),
        spec_of(meta["spec"]) if "spec" in meta else None,
        normalisation and Normalisation(*(tuple(normalisation[name]) for name in Normalisation._fields)),
    )


def finished_run(run: Path, option: str = "--init") -> StoredRun:
    """The finished run in the folder `run`, which `option` names.

    Raises:
        InputError: there is none, or it is not finished, damaged, or of a version that this one does not read.
    """
    folder = RunFolder(run)
    try:
        begun, finished = folder.meta.is_file(), folder.is_finished()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise InputError(f"{option} {run}: cannot be looked at: {error.strerror}") from None
    if not begun:
        raise InputError(f"{option} {run}: is no run folder; accepted: the folder of a finished run")
    if not finished:
        raise InputError(f"{option} {run}: its run is not finished; accepted: the folder of a finished run")
    try:
        return read_run(run)
    except InputError as error:
        raise InputError(f"{option} {run}: {error}") from None


def read_start(run: Path, resumed: Path | None = None) -> Start:
    """What a run starts from that is started from the finished run in the folder `run`.

    Args:
        run: as the user wrote it.
        resumed: folder of the run that goes on. If it was started from another one, it has kept all that it took over,
            and the folder of the other one may be gone.

    Raises:
        InputError: as `finished_run` raises it.
    """
    if resumed is not None and RunFolder(resumed).meta.is_file() and not RunFolder(run).meta.is_file():
        own = read_run(resumed)
        if own.initial is not None:
            tokenizer = own.folder.tokenizer
            return Start(run, own.config, tokenizer if tokenizer.is_file() else None)
    return finished_run(run).start()


def with_tokenizer(data: DataConfig, run: StoredRun, *, always: bool = False) -> DataConfig:
    """`data` with the tokenizer in the folder of `run` where that of another run, or the user's file, may have moved.

    Not where the text made it, unless `always`: its tokens are in the cache under the name of the text.
    """
    if not run.folder.tokenizer.is_file():
        return data
    there = data.tokenizer in TOKENIZERS or os.path.exists(user_path(data.tokenizer))  # noqa: PTH110
    if not always and run.config.source is None and run.config.teacher is None and there:
        return data
    return data.model_copy(update={"tokenizer": str(run.folder.tokenizer)})
