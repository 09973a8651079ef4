"""A disk that fails, or a process that dies, at the n-th call that touches the disk."""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.soak.scale import seed

T = TypeVar("T")


class Died(BaseException):
    """Stands for the end of the process: nothing that comes after it may touch the disk."""


class Disk:
    """Counts every opening for writing, write, flush, close, sync, rename, truncation and deletion.

    Args:
        monkeypatch: undoes the patches.
        at: the call (from 1) that goes wrong; 0 for none.
        how: an errno for a call that fails, `die`, or a signal that comes right before the call.
        lasting: whether every later call fails too (a full disk) or only this one.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int = 0, how: int | str = 0, lasting: bool = False) -> None:
        self.calls = 0
        self.names: list[str] = []
        self._at, self._how, self._lasting = at, how, lasting
        for name in ("fsync", "replace", "rename", "unlink", "remove", "ftruncate", "truncate"):
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))
        monkeypatch.setattr(os, "open", self._counted("open", os.open))
        self._open = io.open
        monkeypatch.setattr(io, "open", self._open_file)

    def touch(self, name: str, half: Callable[[], object] = lambda: None) -> None:
        """One more call; `half` does what a call does that fails half way."""
        self.calls += 1
        self.names.append(name)
        wrong = self.calls == self._at or (self.calls > self._at > 0 and (self._lasting or self._how == "die"))
        if wrong and isinstance(self._how, signal.Signals):
            if self.calls == self._at:
                os.kill(os.getpid(), self._how)
            return
        if wrong and self._how == "die":
            if self.calls == self._at:
                half()
            raise Died
        if wrong:
            half()
            assert isinstance(self._how, int)
            raise OSError(self._how, os.strerror(self._how))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.touch(name)
            return call(*args, **options)

        return counted

    def _open_file(self, file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode in ("r", "rb"):
            return self._open(file, mode, *args, **options)
        self.touch(f"open {Path(file).name}")
        return File(self._open(file, mode, *args, **options), self)


class File:
    """An open file whose writes, flushes, truncations and closing count."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def write(self, data: bytes) -> int:
        self._disk.touch("write", lambda: (self._file.write(data[: len(data) // 2]), self._file.flush()))
        return self._file.write(data)

    def flush(self) -> None:
        self._disk.touch("flush")
        self._file.flush()

    def truncate(self, size: int) -> None:
        self._disk.touch("truncate")
        self._file.truncate(size)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class EveryCall(Disk):
    """Counts, below `root` alone, also openings for reading, reads, closings, and folders made, listed and removed.

    Whose names are looked up and whose sizes are asked for are not touched. Arguments otherwise as of `Disk`.
    """

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, at: int = 0, how: int | str = 0, lasting: bool = False
    ) -> None:
        self._root = str(root)
        self.where: list[str] = []
        super().__init__(monkeypatch, at, how, lasting)
        for name in ("mkdir", "rmdir", "scandir", "listdir", "link", "symlink"):
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))
        monkeypatch.setattr(builtins, "open", self._open_file)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            where = self._path(args[0] if args else ".", options)
            if where is not None:
                self.where.append(where)
                self.touch(name)
            return call(*args, **options)

        return counted

    def _path(self, given: Any, options: dict[str, Any]) -> str | None:
        """Where that is, if below the root."""
        try:
            if isinstance(given, int):
                path = _opened(given)
            else:
                folder = options.get("dir_fd")
                path = Path(given).absolute() if folder is None else _opened(folder) / given
        except (OSError, TypeError):
            return None
        return str(path) if str(path).startswith(self._root) else None

    def _open_file(self, file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        where = None if isinstance(file, int) else self._path(file, {})
        if where is None:
            return self._open(file, mode, *args, **options)
        self.where.append(where)
        self.touch(f"open {mode} {Path(where).name}")
        return EveryFile(self._open(file, mode, *args, **options), self)


def _opened(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


class EveryFile(File):
    """Likewise, with its reads and its closing."""

    def read(self, *args: Any) -> Any:
        self._disk.touch("read")
        return self._file.read(*args)

    def write(self, data: Any) -> int:
        self._disk.touch("write", lambda: (self._file.write(data[: len(data) // 2]), self._file.flush()))
        return self._file.write(data)

    def close(self) -> None:
        if not self._file.closed:
            try:
                self._disk.touch("close")
            finally:
                self._file.close()  # a file whose closing failed is closed

    def __enter__(self) -> EveryFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)

WAYS = (("die", False), *itertools.product(ERRORS, (False, True)))
"""How a call may go wrong: the process ends there, or the call fails once, or all fail from there on."""


def sampled(points: Iterable[T], most: int) -> list[T]:
    """`most` of them, in their order: always the same in the suite, others in each slice of the soak."""
    every = list(points)
    if len(every) <= most:
        return every
    return [every[place] for place in sorted(random.Random(seed()).sample(range(len(every)), most))]


def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows is done by one with a number of its own, which has ended when it is looked for."""
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)
