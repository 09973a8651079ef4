"""How tests wait: for what must happen, however slow the machine is, and never for a time.

`HANGS_S` only ends what would hang for ever; nothing that works comes near it, two busy loops beside it or not.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minform_cli.training.interrupt import StopRequest

if TYPE_CHECKING:
    from minform_cli.training.step import Stepper

HANGS_S = 900.0


def until(happened: Callable[[], bool], what: str, pause_s: float = 0.01) -> None:
    """Looks again and again until something has happened; `what` names it where it never does."""
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < HANGS_S, f"never came: {what}"
        time.sleep(pause_s)


def until_asked_to_stop() -> None:
    """Returns once a signal has asked this process, which trains, to stop."""
    asked: StopRequest = signal.getsignal(signal.SIGINT).__self__  # type: ignore[union-attr]
    until(lambda: asked.signum is not None, "a signal")


def hold(step: int) -> None:
    """Training in this process goes no further than `step` steps until it is asked to stop.

    A signal from outside finds it there, be the sender late or not. A run that went on from a later step is not held.
    """
    from minform_cli.training.step import Stepper  # here, as processes of a study wait without torch

    take = Stepper.take

    def held(self: Stepper, number: int, batch: Any) -> tuple[float, int]:
        if number == step:
            until_asked_to_stop()
        return take(self, number, batch)

    Stepper.take = held  # type: ignore[method-assign]
