"""The files of a run folder by name; files written whole or not at all, and read back."""

from __future__ import annotations

import glob
import json
import os
import shutil
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from minform_cli.errors import InputError, MachineError, unread


def user_path(name: str | Path) -> Path:
    """The path that a user wrote, on a command line or in a file.

    `~` is the home folder. Where nothing has that name, backslashes separate folders, as in files written on Windows.

    Raises:
        RuntimeError: there is no such user.
    """
    path = Path(name).expanduser()
    if os.sep == "\\" or "\\" not in str(name) or os.path.exists(path):  # noqa: PTH110  (of a name too long: no)
        return path
    forward = Path(str(name).replace("\\", "/")).expanduser()
    return forward if os.path.exists(forward) else path  # noqa: PTH110


@dataclass(frozen=True)
class RunFolder:
    """Names of the files in one run's folder.

    ``config.yaml`` reproduces the run; ``run.json`` is what is needed to rebuild the model and to measure it on other
    data: every setting, the spec of the data, their normalisation and fingerprint; ``tokenizer.json`` makes the tokens
    of a run on text; ``metrics.jsonl`` has one line an epoch and no times (equal runs give equal bytes);
    ``timings.jsonl`` has the times; ``checkpoint.json`` names the weight files that belong together, with their
    SHA-256; ``examples.json`` says what the last weights got right, example by example; ``result.json`` is written
    last.
    """

    path: Path

    @property
    def config(self) -> Path:  # noqa: D102
        return self.path / "config.yaml"

    @property
    def tokenizer(self) -> Path:  # noqa: D102
        return self.path / "tokenizer.json"

    @property
    def meta(self) -> Path:  # noqa: D102
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:  # noqa: D102
        return self.path / "metrics.jsonl"

    @property
    def timings(self) -> Path:  # noqa: D102
        return self.path / "timings.jsonl"

    @property
    def checkpoint(self) -> Path:  # noqa: D102
        return self.path / "checkpoint.json"

    @property
    def examples(self) -> Path:  # noqa: D102
        return self.path / "examples.json"

    @property
    def result(self) -> Path:  # noqa: D102
        return self.path / "result.json"

    @property
    def trial(self) -> Path:
        """What a trial of a search came to; it has no ``result.json``, as its test set was not read."""
        return self.path / "trial.json"

    def is_finished(self) -> bool:
        """Whether the run has its result."""
        return self.result.is_file()


def write_atomic(path: Path, data: bytes) -> None:
    """Writes `data` to a temporary name beside `path`, syncs it to disk and renames it: all or nothing.

    Raises:
        MachineError: the disk is full, the folder is read-only, or another input/output error; `path` is as before.
    """
    clear_leftovers(path)
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # the disk may be dead or read-only by now
            temporary.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise MachineError(f"cannot write {path}: {reason}; what was there before is intact") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path` that no other process takes: in it are this machine's number and this process's."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.tmp")


def _machine() -> str:
    name = os.uname().nodename if os.name == "posix" else ""
    return f"{zlib.crc32(name.encode()):08x}"


def clear_leftovers(path: Path, *, alone: bool = False) -> None:
    """Removes what processes that were killed left of `path` under temporary names, as far as it can be removed.

    Args:
        path: of the file or folder that they were writing.
        alone: nobody else can be writing it; else only what ended processes of this machine left is taken for left.
    """
    end = f".{'' if alone else f'{_machine()}-'}*.tmp"
    pattern = f".{glob.escape(path.name)}{end}"
    inside = f".{pattern}{end}"  # of a folder that was made to take the name of one that was made
    with suppress(OSError):
        for left in (*path.parent.glob(pattern), *path.parent.glob(inside)):
            if alone or _is_over(left.suffixes[-2].rpartition("-")[2]):
                if left.is_dir():
                    shutil.rmtree(left)
                else:
                    left.unlink(missing_ok=True)


def _is_over(process: str) -> bool:
    """Whether the process of that number has ended; ours counts as one, as it is about to take the name."""
    if os.name != "posix" or not process.isdecimal() or int(process) == os.getpid():
        return process == str(os.getpid())
    try:
        os.kill(int(process), 0)  # asks whether it is there
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    return False


def check_folder(folder: Path) -> None:
    """Finds out, writing nothing, whether `folder` can be made, or written if it is there.

    Raises:
        InputError: it, or what it would lie in, is no folder.
        MachineError: it may not be written.
    """
    try:
        nearest = nearest_existing(folder)
        if not nearest.is_dir():
            raise InputError(f"{nearest} is not a folder: --out names another")
    except OSError as error:  # a name too long, a folder that may not be entered
        raise MachineError(f"cannot write to {folder}: {error.strerror or error}") from error
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise MachineError(f"cannot write to {folder}: {nearest} may not be written")


def nearest_existing(path: Path) -> Path:
    """`path` itself if it is there, else the nearest folder above it that is.

    Raises:
        OSError: it cannot be looked at: a name too long, a folder that may not be entered.
    """
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut (a no-op where folders cannot be opened)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: object) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinity are our bug and refused."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        InputError: the file is missing, unreadable or damaged; `what` names it in the message.
    """
    try:
        return json_object(path, f"{what} {path}")
    except FileNotFoundError:
        raise InputError(f"{what} {path} is missing: not a run folder, or the run is incomplete") from None


def json_object(path: Path, name: str) -> dict[str, Any]:
    """The JSON object in `path`, which messages call `name`; errors as of `json_value`."""
    return an_object(json_value(path, name), name)


def an_object(value: Any, name: str) -> dict[str, Any]:
    """`value`, read as JSON out of what messages call `name`, once it is known to be an object.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, dict):
        raise InputError(f"{name} is damaged: expected a JSON object")
    return cast("dict[str, Any]", value)


def json_value(path: Path, name: str) -> Any:
    """What the JSON in `path` says.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it may not be read, or is damaged; messages call it `name`.
        MachineError: the disk does not give it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unread(error, f"{name} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is damaged: {str(error).splitlines()[0]}") from None


def make_folder(folder: Path) -> None:
    """Makes `folder`, if need be, and what it lies in.

    Raises:
        MachineError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"cannot write to {folder}: {error.strerror or error}") from error
