"""The errors a user can meet: one line each, with the exit code the command ends with.

Every error says what is wrong, where, what is accepted and what to try. The command line prints the message
without a traceback; anything that is not a `MinformError` is a bug of ours and exits with 1.
"""

from __future__ import annotations

import difflib
import errno
import signal
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path


class MinformError(Exception):
    """Base of all errors with a message for the user. `exit_code` is what the process ends with."""

    exit_code = 1


class InputError(MinformError):
    """The command line, a config, a data file or a checkpoint is wrong (exit 2)."""

    exit_code = 2


class IllegalModelError(InputError):
    """Every setting is fine by itself, but together they make no model, or none for these images."""


class NumericalError(MinformError):
    """A loss, gradient or weight is no longer finite (exit 3)."""

    exit_code = 3


class MachineError(MinformError):
    """The machine failed: disk full, no permission, out of memory (exit 4)."""

    exit_code = 4


class Interrupted(MinformError):  # noqa: N818  (a signal is no error)
    """A signal asked us to stop (exit 128 + signal number: 130 for Ctrl-C, 143 for SIGTERM)."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum

    @property
    def signal_name(self) -> str:
        """Name of the signal, for example ``SIGINT``."""
        return signal.Signals(self.signum).name


@contextmanager
def named(what: str) -> Generator[None]:
    """Within, an error says what it is about; a signal is about nothing."""
    try:
        yield
    except Interrupted:
        raise
    except MinformError as error:
        raise type(error)(f"{what}: {error}") from error


def unknown_name(what: str, name: str, known: Iterable[str], where: str = "") -> InputError:
    """The error for a name that is not registered.

    Args:
        what: kind of thing looked for, for example ``"preset"``.
        name: what the user wrote.
        known: every accepted name.
        where: file, key or option the name came from.

    Returns:
        An `InputError` that lists the nearest known name and everything accepted.
    """
    accepted = sorted(known)
    place = f"{where}: " if where else ""
    return InputError(f"{place}unknown {what} {name!r}{did_you_mean(name, accepted)}; accepted: {', '.join(accepted)}")


def counted(num: int, one: str, many: str = "") -> str:
    """``1 line``, ``2,000 lines``: a number before its noun, whatever it is; `many` where an s does not make it so."""
    return f"{num:,} {one if num == 1 else many or f'{one}s'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of `known`, or an empty string if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def did_you_mean_file(path: Path) -> str:
    """Likewise for a missing `path`, of what its folder shows, hidden files left out; `OSError` where that is shut."""
    names = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
    return did_you_mean(path.name, [name for name in names if not name.startswith(".")])


_DISK = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, getattr(errno, "ESTALE", errno.EIO)}
"""What the system says where a file is as it should be and does not come, or no more files can be open."""


def unread(error: BaseException, message: str) -> InputError | MachineError:
    """The refusal with that message of a file that cannot be read: bad input, or the machine where the disk fails."""
    failed = isinstance(error, OSError) and error.errno in _DISK
    return MachineError(message) if failed else InputError(message)


def near_file(path: Path) -> str:
    """`did_you_mean_file`, empty where the folder is shut or the name is none."""
    try:
        return did_you_mean_file(path)
    except (OSError, ValueError):
        return ""
