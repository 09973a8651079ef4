"""Ctrl-C and SIGTERM: the first one asks a run to save and stop, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from minform_cli.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While this context is open, a signal becomes a request to stop.

    `advice` ends the message: how to go on.

    Until `defer` is called the first signal raises `Interrupted` where it lands: there is nothing to save yet.
    After it, the signal is only noted, and `check`, called between steps and between evaluation batches, raises.
    The second signal raises `Interrupted` wherever it lands, and sets `leaving` so that nobody saves on the way out;
    temporary files and the terminal are cleaned up as for any error. The third ends the process on the spot.

    Python lets only the main thread handle signals; in any other this context does nothing. A signal the process was
    started to ignore (as a shell does for background jobs) stays ignored.
    """

    def __init__(self, advice: str = "to go on, repeat the command with --resume") -> None:
        self._advice = advice
        self.signum: int | None = None
        self.leaving = False
        self._count = 0
        self._deferred = False
        self._previous: dict[signal.Signals, Any] = {}

    def defer(self) -> None:
        """From here on the first signal waits for `check`; raises if one has come already."""
        self.check()
        self._deferred = True

    @contextmanager
    def at_once(self) -> Generator[None]:
        """Within, the first signal raises where it lands whatever `defer` said; one that has come raises now."""
        self.check()
        deferred, self._deferred = self._deferred, False
        try:
            yield
        finally:
            self._deferred = deferred

    def check(self) -> None:
        """Raises `Interrupted` if a signal has come."""
        if self.signum is not None:
            raise self._interrupted("stopped")

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None: the handler was not installed from Python; the default is the nearest that can be set.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002  (Python's signature)
        self._count += 1
        self.signum = signum
        if self._count == 1 and not self._deferred:
            raise self._interrupted("stopped")
        if self._count == 2:
            self.leaving = True
            raise self._interrupted("left at once, the last checkpoint stays")
        if self._count > 2:
            os._exit(128 + signum)

    def _interrupted(self, what: str) -> Interrupted:
        assert self.signum is not None
        name = signal.Signals(self.signum).name
        return Interrupted(self.signum, f"{name}: {what}; {self._advice}")
