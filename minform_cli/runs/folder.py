"""The run folder: who may use it, what is written before the first step, what must agree on resume."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from filelock import FileLock, Timeout
from pydantic import ValidationError

from minform_cli import __version__
from minform_cli.config.presets import dump_config
from minform_cli.config.schema import PLACES, DataConfig, RunConfig
from minform_cli.data.spec import ImageSpec, spec_record
from minform_cli.errors import InputError, MachineError
from minform_cli.files import RunFolder, user_path, write_atomic, write_json
from minform_cli.runs.seal import read_sealed, sealed

if TYPE_CHECKING:
    from minform_cli.data.images.pixels import ImageData
    from minform_cli.data.load import Data

LOCK = ".lock"
ORIGINAL, REDUCED = INSIDE = ("original", "reduced")
"""Folders of other runs that may lie in a run's own: what it is made of."""
RUN = "run description"
CHECKPOINT = "checkpoint"
TENSOR_FILES = (
    "weights-*.safetensors",
    "optimizer-*.safetensors",
    "best-*.safetensors",
    "stepped-*.safetensors",
    ".*.tmp",
)
"""Files that may be deleted when no checkpoint names them."""
TENSORBOARD = "tensorboard"
"""Folder, inside a run's, of its curves as TensorBoard reads them."""
TRACKING = "tracking.jsonl"
"""File in the folder of a run or a study that says which run of a tracker it is."""


class InUseError(InputError):
    """Another process trains in the folder."""


def look(folder: RunFolder, config: RunConfig, *, resume: bool) -> dict[str, Any] | None:
    """``run.json`` of the run to resume, once it is known to be of the same settings; None if nothing was begun.

    Raises:
        InputError: the folder is not empty and nothing may be resumed; or it holds something else, a damaged run,
            one of another format version, or another run, whose first setting that differs is named.
    """
    if all(name in INSIDE for name in contents(folder)):
        return None
    if not resume:
        raise InputError(f"{folder.path} is not empty: --resume goes on with the run in it, --out names another folder")
    if not folder.meta.is_file():
        raise InputError(f"{folder.path} is not a run folder ({folder.meta.name} is missing): --out names another")
    meta = read_meta(folder)
    begun = stored_config(folder, meta)
    for key, option in (("init", "--init"), ("teacher", "--teacher")):
        both = [getattr(each, key) for each in (begun, config)]
        if both.count(None) == 1:
            there, here = (f"{option} {each}" if each else f"no {option}" for each in both)
            raise InputError(
                f"{folder.path} is another run: it was started with {there}, this one with {here}; going on needs the "
                "same, --out names another folder"
            )
    stored, given = flat(begun.identity()), flat(config.begun_as(begun).identity())
    for key in given | stored:
        if given.get(key) != stored.get(key):
            raise InputError(
                f"{folder.path} is another run: {key} is {stored.get(key)!r} there and {given.get(key)!r} here; "
                "going on needs the same settings, --out names another folder"
            )
    return meta


def read_meta(folder: RunFolder) -> dict[str, Any]:
    """``run.json``; `InputError` if it is missing, damaged or of another format version."""
    if not folder.path.is_dir():
        raise InputError(f"{folder.path} is not a folder")
    return read_sealed(folder.meta, RUN)


def stored_config(folder: RunFolder, meta: Mapping[str, Any]) -> RunConfig:
    """The config in ``run.json``; `InputError` if this minform does not know one of its settings."""
    described = meta["config"]
    if described.get("task") == "translate" and isinstance(data := described.get("data"), dict):
        # Before there was a choice, BLEU was that of 13a.
        described = {**described, "data": {"bleu_tokenizer": "13a", **data}}
    try:
        return RunConfig.model_validate(described)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        versions = f"the run was made by minform {meta['minform']}, this is {__version__}"
        raise InputError(f"{folder.meta}: {key}: {first['msg']}; {versions}") from None


def check_data(folder: RunFolder, meta: Mapping[str, Any], fingerprint: str) -> None:
    """Raises `InputError` unless the examples are those the run was trained on."""
    if meta["fingerprint"] != fingerprint:
        raise InputError(
            f"{folder.path}: the data differ from those the run was made with: fingerprint "
            f"{meta['fingerprint'][:12]}... there, {fingerprint[:12]}... here"
        )


@contextmanager
def claimed(folder: RunFolder) -> Generator[None]:
    """Creates the folder and keeps every other process from training in it meanwhile; dies with the process.

    Whoever has claimed it may claim it again: a worker of a study does before its run does.

    Raises:
        InUseError: another process trains here.
        InputError: the path is no folder.
        MachineError: the folder cannot be made or written.
    """
    lock = FileLock(folder.path / LOCK, timeout=0, is_singleton=True)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InUseError(f"{folder.path}: another process is training this run; wait for it, or use --out") from None
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder.path} is not a folder: --out names another") from None
    except OSError as error:
        raise MachineError(f"cannot write to {folder.path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def check_initial(folder: RunFolder, meta: Mapping[str, Any], config: RunConfig, initial: str | None) -> None:
    """Raises `InputError` unless the weights to start from, of the digest `initial`, are those the run started from."""
    if meta.get("initial") != initial:
        raise InputError(f"{folder.path}: the weights in {config.source} are not those that the run was started from")


def begin(
    folder: RunFolder,
    config: RunConfig,
    data: Data,
    environment: Mapping[str, Any],
    initial: str | None = None,
    teacher: str | None = None,
) -> dict[str, Any]:
    """Writes ``run.json``, ``config.yaml`` and, for text, ``tokenizer.json`` of a new run, and returns the first.

    Args:
        folder: of the run.
        config: of the run.
        data: its data.
        environment: where it is made.
        initial: SHA-256 of the weights it starts from, if they are another run's.
        teacher: likewise of the run that it follows.

    Raises:
        MachineError: they cannot be written.
    """
    meta = sealed(
        RUN,
        {
            "minform": __version__,
            "config": config.model_dump(mode="json"),
            "fingerprint": data.fingerprint,
            "spec": spec_record(data.spec),
            "normalisation": _normalisation(data),
            "tokenizer": None if data.tokenizer is None else folder.tokenizer.name,
            "places": places_of(config.data),
            "environment": dict(environment),
            **({} if initial is None else {"initial": initial}),
            **({} if teacher is None else {"teacher": teacher}),
        },
    )
    if data.tokenizer is not None:
        write_atomic(folder.tokenizer, data.tokenizer)
    write_json(folder.meta, meta)
    write_config(folder, config)
    return meta


def places_of(data: DataConfig) -> dict[str, str]:
    """Where the data of a run lie, by setting: the same place whatever the working directory will be."""
    named = {key: getattr(data, key) for key in PLACES}
    return {key: os.path.abspath(user_path(path)) for key, path in named.items() if path is not None}  # noqa: PTH100


def stored_places(folder: RunFolder, meta: Mapping[str, Any]) -> dict[str, str]:
    """Where the data of a run lay, as `places_of`; a folder of format 2 says it from the working directory alone."""
    places: dict[str, str] | None = meta.get("places")
    return places_of(stored_config(folder, meta).data) if places is None else places


def _normalisation(data: Data) -> dict[str, Any] | None:
    if not isinstance(data.spec, ImageSpec):
        return None
    images = cast("ImageData", data)
    return {"mean": images.mean, "std": images.std}


def write_config(folder: RunFolder, config: RunConfig) -> None:
    """Writes ``config.yaml``, for people and for running again; nothing of ours reads it."""
    write_atomic(folder.config, dump_config(config).encode())


def contents(folder: RunFolder) -> list[str]:
    """What lies in the folder, but for the lock and the temporary files of a process killed as it began."""
    if folder.path.exists() and not folder.path.is_dir():
        raise InputError(f"{folder.path} is not a folder: --out names another")
    try:
        names = [path.name for path in folder.path.iterdir()] if folder.path.exists() else []
    except OSError as error:
        raise MachineError(f"cannot read {folder.path}: {error.strerror or error}") from error
    return [name for name in names if name != LOCK and not (name.startswith(".") and name.endswith(".tmp"))]


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    by_key: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            by_key |= flat(value, f"{prefix}{key}.")
        else:
            by_key[f"{prefix}{key}"] = value
    return by_key
